"""`python -m benchmarks.memory` with few clips."""

import json
import mmap

import pytest
from benchmarks.memory import grow, resident
from benchmarks.sample_videos import KINDS, moving_pattern, write_video

from benchmarks import memory

pytestmark = pytest.mark.slow  # several processes, or thousands of clips


def test_a_worker_does_not_grow_over_200_clips(tmp_path):
    names = ("h264.mp4", "mpeg4_b_frames.avi", "motion_jpeg.avi")
    videos = [write_video(tmp_path / name, moving_pattern(20, 48, 64), **KINDS[name]) for name in names]
    result = grow(videos, tmp_path / "links", clips=200, size=32)
    assert result["names"] == 200
    assert result["unreadable"] == 0
    assert result["growth_mb"] < 10


def test_growth_is_seen(tmp_path, monkeypatch):
    kept = []

    def hoard():
        kept.append(mmap.mmap(-1, 1_000_000))  # from the system: what a large parent has freed would not be seen
        kept[-1].write(bytes(1_000_000))
        return resident()

    monkeypatch.setattr(memory, "resident", hoard)
    videos = [write_video(tmp_path / "h264.mp4", moving_pattern(20, 48, 64))]
    assert grow(videos, tmp_path / "links", clips=100, size=32)["growth_mb"] > 50


def test_the_command_prints_and_writes(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "write_samples", lambda folder: [write_video(_made(folder) / "a.mp4", PATTERN)])
    assert command(memory, ["--clips", "20", "--size", "32", "--json", str(tmp_path / "m.json")]) == 0
    assert "limit 20 MB" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "m.json").read_text())["resident_mb"]) == 10
    assert command(memory, ["--clips", "20", "--size", "32", "--limit-mb", "-99"]) == 1
    assert command(memory, ["/nowhere/at/all"]) == 1


PATTERN = moving_pattern(20, 48, 64)


def _made(folder):
    folder.mkdir()
    return folder
