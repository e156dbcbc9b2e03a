"""``bench data`` measures every installed reader on the same clips, and recommends what to do."""

import json
from pathlib import Path

import numpy as np
import pytest

from vmae_zoo.bench.data import advice, advice_on_copies, gains, summary
from vmae_zoo.bench.readers import readers
from vmae_zoo.cli.main import main


def test_readers_give_the_same_clip(encode, tmp_path):
    video = encode(tmp_path / "plain.mp4", frames=40, size=(48, 64))
    clips = {name: read(video, np.arange(3, 30, 4), (48, 64)).astype(int) for name, read in readers().items()}
    for name, clip in clips.items():
        assert clip.shape == (7, 48, 64, 3)
        assert abs(clip - clips["vmae_zoo"]).mean() < 4, name  # each has its own rounding of colors


def test_the_command_prints_rates_and_advice(small_videos, tmp_path, capsys):
    out = tmp_path / "numbers.json"
    arguments = ["--rounds", "1", "--limit", "2", "--short-side", "32", "--workers", "4", "--json", str(out)]
    assert main(["bench", "data", str(small_videos), *arguments, "--copies"]) == 0
    out_lines = capsys.readouterr().out
    assert "4 workers" in out_lines
    assert "times as fast" in out_lines.splitlines()[-1]
    result = json.loads(out.read_text())
    found = result[str(small_videos)]
    assert {"vmae_zoo", "pyav from frame 0", "opencv", "re-encoded", "cached"} <= found["readers"].keys()
    assert result["gains"]["h264"]["cached"]["videos"] == 2
    assert found["failed"] == []


def test_folders_of_one_name_are_kept_apart(encode, tmp_path):
    roots = [str(tmp_path / number / "videos") for number in "12"]
    for root in roots:
        encode(Path(root) / "a.mp4", frames=20)
    out = tmp_path / "new" / "numbers.json"
    assert main(["bench", "data", *roots, "--rounds", "1", "--short-side", "32", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert set(result) == {*roots, "gains"}
    assert result["gains"]["h264"]["pyav from frame 0"]["videos"] == 2


@pytest.mark.parametrize("option", ["--limit", "--rounds", "--workers"])
def test_zero_of_something_is_refused(option, capsys):
    assert main(["bench", "data", "nowhere", option, "0"]) == 1
    assert f"{option} = 0" in capsys.readouterr().err


def test_a_rate_weighs_every_video_alike():
    assert summary({"a": [10, 10, 10], "b": [30]})["clips_per_second"] == 50


def test_gains_are_of_the_rates_by_codec():
    times = {"vmae_zoo": {"a": [40], "b": [20], "c": [9]}, "re-encoded": {"a": [10], "b": [10], "c": [18]}}
    found = {"milliseconds": times, "codecs": {"a": "h264", "b": "h264", "c": "mpeg4"}}
    codec_gains = gains(found, "h264")["re-encoded"]
    assert codec_gains == {"videos": 2, "mean": 3, "low": 2, "high": 4}
    assert "h264: re-encode them (3.0 times as fast, 2.0 to 4.0)" in advice_on_copies("h264", gains(found, "h264"))
    assert "do not re-encode them (0.5" in advice_on_copies("mpeg4", gains(found, "mpeg4"))


def test_advice_counts_cores_and_repeats():
    assert "41 %" in advice(10, 12, "base", "H100", 4)
    assert "not the bottleneck" in advice(100, 16, "base", "H100", 1)


@pytest.fixture
def small_videos(encode, tmp_path):
    for name in "ab":
        encode(tmp_path / "videos" / f"{name}.mp4", frames=20)
    return tmp_path / "videos"
