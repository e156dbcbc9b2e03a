"""Unreadable videos are listed once each at the end of a training, with their number."""

import pytest

from vmae_zoo.data import bad_samples
from vmae_zoo.data.bad_samples import BadSamples


def entry(name):
    return {"path": name, "reason": f"{name}: no frame", "replacement": "b.mp4", "epoch": 0, "key": 1}


@pytest.mark.filterwarnings("ignore:.*unreadable videos are listed")
def test_each_is_reported_once_with_a_total(tmp_path, capsys, monkeypatch):
    bad, file = BadSamples(0.5, 100), tmp_path / "bad_samples.jsonl"
    bad.report(file)
    assert capsys.readouterr().out == ""
    bad.add([entry("a.mp4"), entry("c.mp4")], 6, file)
    bad.add([entry("a.mp4")], 7, file)  # in a later epoch
    bad.report(file)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["unreadable: a.mp4: no frame", "unreadable: c.mp4: no frame"]
    assert lines[2].startswith("2 of 15 videos")
    assert str(file) in lines[2]
    assert len(lines) == 3
    bad.report(file)
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore:.*unreadable videos are listed")
def test_of_very_many_the_first_are_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bad_samples, "MAX_LINES", 3)
    bad = BadSamples(0.5, 100)
    bad.add([entry(f"{number}.mp4") for number in range(5)], 20, tmp_path / "bad.jsonl")
    bad.report(tmp_path / "bad.jsonl")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[-1].startswith("5 of 25 videos")


@pytest.mark.filterwarnings("ignore:.*unreadable videos are listed")
def test_videos_that_are_read_in_every_epoch_count_once(tmp_path, capsys):
    bad = BadSamples(0.5, 240)
    bad.add([entry("a.mp4")], 239, tmp_path / "bad.jsonl")
    bad.add([], 2160, tmp_path / "bad.jsonl")
    bad.report(tmp_path / "bad.jsonl")
    assert "1 of 240 videos" in capsys.readouterr().out
