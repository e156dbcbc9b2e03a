"""``bench data`` measures every reader that is there on the same clips, and says what to do."""

import json

import numpy as np
import pytest

from vmae_zoo.bench.data import advice, readers, summary
from vmae_zoo.cli.main import main


def test_readers_give_the_same_clip(encode, tmp_path):
    video = encode(tmp_path / "plain.mp4", frames=40, size=(48, 64))
    clips = {name: read(video, np.arange(3, 30, 4), (48, 64)).astype(int) for name, read in readers().items()}
    for name, clip in clips.items():
        assert clip.shape == (7, 48, 64, 3)
        assert abs(clip - clips["vmae_zoo"]).mean() < 4, name  # each has its own rounding of colours


def test_the_command_prints_rates_and_advice(small_videos, tmp_path, capsys):
    out = tmp_path / "numbers.json"
    arguments = ["--rounds", "1", "--limit", "2", "--short-side", "32", "--workers", "4", "--json", str(out)]
    assert main(["bench", "data", str(small_videos), *arguments]) == 0
    assert "4 workers" in capsys.readouterr().out
    (found,) = json.loads(out.read_text()).values()
    assert {"vmae_zoo", "pyav from frame 0", "opencv"} <= found["readers"].keys()
    assert found["failed"] == []


def test_a_rate_weighs_every_video_alike():
    assert summary({"a": [10, 10, 10], "b": [30]})["clips_per_second"] == 50


def test_advice_counts_cores_and_repeats():
    assert "feed 41 % of a H100" in advice(10, 12, "base", "H100", 4)
    assert "not the bottleneck" in advice(100, 16, "base", "H100", 1)


@pytest.fixture
def small_videos(encode, tmp_path):
    for name in "ab":
        encode(tmp_path / "videos" / f"{name}.mp4", frames=20)
    return tmp_path / "videos"
