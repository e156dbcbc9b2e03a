"""The short form of `vmae-zoo bench damage`: fewer files, every way of damage."""

import os

import pytest
from benchmarks.corrupt_files import CHANGES, WAYS, decode_all, spoil
from benchmarks.corruption import examine, judge, table, train
from benchmarks.sample_videos import KINDS, moving_pattern, write_video

from vmae_zoo.randomness import KeyedRNG

SOME = ("h264.mp4", "h264_front.mp4", "h264.mkv", "mpeg4_b_frames.avi", "vp8.webm")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return [write_video(folder / name, moving_pattern(40, 48, 64), **KINDS[name]) for name in SOME]


def test_index_and_training_see_what_a_plain_decode_sees(sources, tmp_path):
    files, growth = examine(sources, tmp_path, 3 * len(WAYS))
    tried = set(WAYS) - ({"no permission"} if os.access("/", os.W_OK) else set())
    assert {file["way"] for file in files} == tried
    states = {file["state"] for file in files}
    assert {"equal", "unreadable", "ends early", "spoiled"} <= states
    for source in sources:
        (tmp_path / f"000 whole {source.name}").symlink_to(source)
    report = train(tmp_path, epochs=1, workers=1)
    assert judge(files, growth, report) == []
    assert len(report["named"]) > len(files) // 3
    assert "flipped bits: 3 files" in table(files)


def test_every_change_changes_and_the_same_seed_changes_alike(sources, tmp_path):
    assert [f.path.name for f in spoil(sources, tmp_path / "a", 9)] == [
        f.path.name for f in spoil(sources, tmp_path / "b", 9)
    ]
    data = sources[0].read_bytes()
    for way, change in CHANGES.items():
        assert (change(data, KeyedRNG(1, "test")) == data) == (way == "wrong extension"), way


def test_a_plain_decode_tells_whole_from_spoiled(sources, tmp_path):
    whole = decode_all(sources[1])
    assert len(set(whole.prints)) == 40
    assert whole.state(whole) == "equal"
    (tmp_path / "cut.mp4").write_bytes(sources[1].read_bytes()[:-900])
    assert decode_all(tmp_path / "cut.mp4").state(whole) == "ends early"


RECORD = {"file": "1.mp4", "state": "equal", "verdict": "good", "reasons": [], "clips": {"intact": 3}}
REPORT = {"rows": ["1.mp4"], "named": []}


@pytest.mark.parametrize(
    ("change", "report", "sentence"),
    [
        ({"verdict": "damaged", "reasons": ["why"]}, REPORT, "nothing is wrong with it, yet index says why"),
        ({"state": "spoiled"}, REPORT, "(spoiled): index says good"),
        ({"clips": {"different": 2}}, REPORT, "2 clips differ, yet index says good"),
        ({"state": "unreadable", "verdict": "damaged"}, REPORT, "training did not name it"),
        ({}, {**REPORT, "named": ["1.mp4"]}, "yet training named it"),
        ({"state": "hangs"}, REPORT, "no answer within"),
    ],
)
def test_what_should_not_be_is_a_problem(change, report, sentence):
    record = {**RECORD, "source": "h264.mp4", **change}
    (problem,) = judge([record], 0.0, report)
    assert sentence in problem
    assert judge([{**RECORD, "source": "h264.mp4"}], 0.0, REPORT) == []
    assert "grew by 99.0 MB" in judge([], 99.0, REPORT)[0]
