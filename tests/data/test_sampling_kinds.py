"""Sparse and timed sampling, from the rule to the clip that a data set reads."""

import numpy as np
import pytest
from tests.recording_reader import RecordingReader

from vmae_zoo.data import ClipDataModule, ClipDataset, ClipRecord, ClipSpec
from vmae_zoo.data import sampling as s
from vmae_zoo.data.clip_frames import view_ids
from vmae_zoo.data.views import ViewDataset
from vmae_zoo.datasets.scan import list_videos
from vmae_zoo.randomness import KeyedRNG


def test_sparse_ids_follow_the_official_rule():
    length = 100 // 16
    assert s.sparse_ids(100, 16).tolist() == [i * length + (1 + length) // 2 - 1 for i in range(16)]
    drawn = np.array([s.sparse_ids(100, 16, KeyedRNG(key, "start")) for key in range(300)])
    assert [sorted(set(column - 6 * i)) for i, column in enumerate(drawn.T)] == 16 * [[0, 1, 2, 3, 4]]  # 0 to m - 2
    assert s.sparse_ids(16, 16, KeyedRNG(0, "start")).tolist() == list(range(16))  # m = 1
    assert s.sparse_ids(5, 16).tolist() == s.segment_ids(5, 16).tolist()


@pytest.fixture
def row(small_set):
    return ClipRecord("x", list_videos(small_set)[0])  # 12 frames at 25 a second


def test_a_timed_clip_is_as_long_in_seconds_whatever_the_rate(row):
    reader = RecordingReader()
    clips = ClipDataset([row], ClipSpec(4, 2, 16, "span"), seed=3, reader=reader)
    clips[0, 0]
    span = 4 * 2 * 25 / 30
    start = s.span_start(12, span, KeyedRNG(clips.keys(0, 0)[0], "start"))
    assert reader.calls[0][1].tolist() == s.span_ids(12, 4, span, start).tolist()
    ClipDataset([row], ClipSpec(4, 2, 16, "span", (50,)), train=False, reader=reader)[0]
    assert (
        reader.calls[1][1].tolist() == s.span_ids(12, 4, 4.0, 4).tolist()
    )  # 4 frames at 25 last as long as 8 at 50; the middle


@pytest.mark.slow
def test_several_rates_take_turns_by_the_clips_key(row):
    reader = RecordingReader()
    clips = ClipDataset([row], ClipSpec(2, 2, 16, "span", (10, 25, 50)), reader=reader)
    widths = []
    for epoch in range(60):
        clips[0, epoch]
        clips[0, epoch]
        (_, ids, _), (_, again, _) = reader.calls[-2:]
        assert ids.tolist() == again.tolist()
        widths.append(int(ids[1] - ids[0]))
    assert {9, 3, 1} <= set(widths) <= {8, 9, 2, 3, 0, 1}  # spans of 10, 4 and 2 frames, from any fraction of one


def test_timed_test_views_start_as_in_space_time_mae(row):
    timed = ClipSpec(4, 2, 16, "span")
    assert view_ids(timed, 2, 300, rate=60)[1].tolist() == s.span_ids(300, 4, 16, 284).tolist()
    assert len(ViewDataset([row], timed, clips=2)[0]) == 2
    assert view_ids(ClipSpec(4, 2, 16, "sparse"), 2, 50).tolist() == [
        s.segment_view_ids(50, 4, view, 2).tolist() for view in range(2)
    ]


def test_rates_are_positive():
    with pytest.raises(ValueError, match=r"data.fps = \[0\]: give one or more positive rates"):
        ClipDataModule(fps=[0])


def test_rates_without_sampling_by_time_are_refused():
    with pytest.raises(ValueError, match=r"data.fps = \[10.*--data.sampling span"):
        ClipDataModule(fps=[10])
    assert ClipDataModule(fps=[10], sampling="span").clip.fps == (10,)
