"""`python -m benchmarks.corruption` with fewer files and every way of damage."""

import os

import pytest
from benchmarks.corrupt_files import CHANGES, WAYS, corrupt, decode_all
from benchmarks.corruption import examine, find_problems, table, train
from benchmarks.sample_videos import KINDS, moving_pattern, write_video

from vmae_zoo.randomness import KeyedRNG

SOME = ("h264.mp4", "h264_faststart.mp4", "h264.mkv", "mpeg4_b_frames.avi", "vp8.webm")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("intact")
    return [write_video(folder / name, moving_pattern(40, 48, 64), **KINDS[name]) for name in SOME]


@pytest.mark.slow
def test_index_and_training_agree_with_a_plain_decode(sources, tmp_path):
    files, growth = examine(sources, tmp_path, 3 * len(WAYS))
    tried = set(WAYS) - ({"no permission"} if os.access("/", os.W_OK) else set())
    assert {file["way"] for file in files} == tried
    states = {file["state"] for file in files}
    assert {"intact", "unreadable", "truncated", "corrupt"} <= states
    for source in sources:
        (tmp_path / f"000 intact {source.name}").symlink_to(source)
    report = train(tmp_path, epochs=1, workers=1)
    assert find_problems(files, growth, report) == []
    assert len(report["listed"]) > len(files) // 3
    assert "flipped bits: 3 files" in table(files)


def test_every_change_alters_the_file_and_depends_on_the_seed(sources, tmp_path):
    assert [f.path.name for f in corrupt(sources, tmp_path / "a", 9)] == [
        f.path.name for f in corrupt(sources, tmp_path / "b", 9)
    ]
    data = sources[0].read_bytes()
    for way, change in CHANGES.items():
        assert (change(data, KeyedRNG(1, "test")) == data) == (way == "wrong extension"), way


def test_a_plain_decode_distinguishes_intact_from_truncated(sources, tmp_path):
    whole = decode_all(sources[1])
    assert len(set(whole.prints)) == 40
    assert whole.state(whole) == "intact"
    (tmp_path / "cut.mp4").write_bytes(sources[1].read_bytes()[:-900])
    assert decode_all(tmp_path / "cut.mp4").state(whole) == "truncated"


RECORD = {"file": "1.mp4", "state": "intact", "verdict": "good", "reasons": [], "clips": {"intact": 3}}
REPORT = {"records": ["1.mp4"], "listed": []}


@pytest.mark.parametrize(
    ("change", "report", "sentence"),
    [
        ({"verdict": "damaged", "reasons": ["why"]}, REPORT, "reports why"),
        ({"state": "corrupt"}, REPORT, "reports good"),
        ({"clips": {"different": 2}}, REPORT, "2 clips differ"),
        ({"state": "unreadable", "verdict": "damaged"}, REPORT, "did not list it"),
        ({}, {**REPORT, "listed": ["1.mp4"]}, "training listed it"),
        ({"state": "hangs"}, REPORT, "hangs"),
        ({"state": "crashes"}, REPORT, "crashes"),
    ],
)
def test_broken_promises_are_listed_as_problems(change, report, sentence):
    record = {**RECORD, "source": "h264.mp4", **change}
    (problem,) = find_problems([record], 0.0, report)
    assert sentence in problem
    assert find_problems([{**RECORD, "source": "h264.mp4"}], 0.0, REPORT) == []
    assert "grew by 99.0 MB" in find_problems([], 99.0, REPORT)[0]
