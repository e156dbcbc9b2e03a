"""Frame ids equal the published rules: golden values, and the rules written out step by step."""

import numpy as np
import pytest

from vmae_zoo.data import sampling as s
from vmae_zoo.randomness import KeyedRNG

TOTALS = [1, 2, 3, 4, 5, 15, 16, 17, 40, 61, 62, 63, 64, 65, 66, 300, 1000]


def pointer_rule(total: int, frames: int, stride: int, start: int) -> list[int]:
    """The official pre-training loop: the 1-based pointer moves only while it stays below the number of frames."""
    ids, pointer = [], start + 1
    for _ in range(frames):
        ids.append(pointer - 1)
        if pointer + stride < total:
            pointer += stride
    return ids


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (62, [*range(0, 61, 4)]),
        (300, [*range(0, 61, 4)]),
        (61, [*range(0, 57, 4), 56]),
        (40, [*range(0, 37, 4)] + 6 * [36]),
        (16, [0, 4, 8] + 13 * [12]),
        (5, 16 * [0]),
        (1, 16 * [0]),
    ],
)
def test_pre_training_ids_are_the_golden_ones(total, expected):
    assert s.dense_ids(total, 16, 4, 0).tolist() == expected


@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize(("frames", "stride"), [(16, 4), (16, 2), (8, 8), (1, 1)])
def test_pre_training_ids_follow_the_pointer(total, frames, stride):
    for start in {0, total // 2, total - 1}:
        ids = s.dense_ids(total, frames, stride, start)
        assert ids.tolist() == pointer_rule(total, frames, stride, start)
        assert ids.dtype == np.int64


def test_starts_are_uniform_over_those_that_fit():
    starts = [s.dense_start(70, 16, 4, KeyedRNG(key, "start")) for key in range(700)]
    assert sorted(set(starts)) == list(range(7))
    assert np.bincount(starts).min() > 70
    assert {s.dense_start(total, 16, 4, KeyedRNG(0, "start")) for total in (1, 63, 64)} == {0}


def test_fine_tuning_windows_are_the_golden_ones():
    expected = [0, 4, 8, 12, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63]
    assert s.window_ids(300, 16, 4, 64).tolist() == expected
    short = [0, 4, 8, 13, 17, 22, 26, 31, 35, 39] + 6 * [39]
    assert s.window_ids(40, 16, 4, s.window_end(40, 16, 4)).tolist() == short
    assert s.window_ids(3, 16, 4, s.window_end(3, 16, 4, KeyedRNG(0, "end"))).tolist() == 16 * [2]


def test_the_validation_window_is_the_middle_one():
    end = s.window_end(300, 16, 4)
    ids = s.window_ids(300, 16, 4, end)
    assert ids[:5].tolist() == [118, 122, 126, 130, 135]
    assert ids[-1] == 181


def test_random_windows_end_from_the_first_full_one_to_the_last_frame():
    ends = {s.window_end(68, 16, 4, KeyedRNG(key, "end")) for key in range(200)}
    assert ends == {64, 65, 66, 67}


@pytest.mark.parametrize("total", TOTALS)
def test_segments_give_one_frame_each(total):
    ids = s.segment_ids(total, 16, KeyedRNG(7, "segments"))
    length = total // 16
    if length:
        np.testing.assert_array_equal(ids // length, np.arange(16))
    else:
        assert ids.tolist() == (16 - total) * [0] + list(range(total))


def test_middle_frames_of_segments_are_those_of_v2_validation():
    assert s.segment_ids(100, 16).tolist() == [i * 6 + 3 for i in range(16)]
    drawn = np.array([s.segment_ids(100, 16, KeyedRNG(key, "segments")) for key in range(300)])
    assert [sorted(set(column - 6 * i)) for i, column in enumerate(drawn.T)] == 16 * [list(range(6))]


def test_dense_test_clips_are_the_golden_ones():
    clips = [s.dense_view_ids(300, 16, 4, view, 5) for view in range(5)]
    ends = [(0, 60), (56, 116), (116, 176), (176, 236), (236, 296)]
    assert [(clip[0], clip[-1]) for clip in clips] == ends
    assert all(np.array_equal(np.diff(clip), 15 * [4]) for clip in clips)
    assert s.dense_view_ids(10, 16, 4, 4, 5).tolist() == [0, 4] + 14 * [8]
    assert s.dense_view_ids(300, 16, 4, 0, 1)[[0, -1]].tolist() == [116, 176]  # one clip: the middle one


def test_segment_test_clips_are_the_golden_ones():
    first = [0, 3, 6, 9, 12, 15, 18, 21, 25, 28, 31, 34, 37, 40, 43, 46]
    second = [1, 4, 7, 10, 14, 17, 20, 23, 26, 29, 32, 35, 39, 42, 45, 48]
    assert s.segment_view_ids(50, 16, 0, 2).tolist() == first
    assert s.segment_view_ids(50, 16, 1, 2).tolist() == second


@pytest.mark.parametrize("total", [16, 20, 50, 333])
@pytest.mark.parametrize("views", [1, 2, 3])
def test_segment_test_clips_deal_out_all_points_in_turn(total, views):
    tick = total / 16
    points = sorted(int(view * tick / views + tick * i) for view in range(views) for i in range(16))
    for view in range(views):
        assert s.segment_view_ids(total, 16, view, views).tolist() == points[view::views]


def test_space_time_mae_ids_are_the_golden_ones():
    span = s.clip_span(16, 4, 30)
    assert span == 64
    expected = [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63]
    assert s.span_ids(300, 16, span, 0).tolist() == expected
    assert s.span_ids(30, 16, span, 0)[-1] == 29


def test_space_time_mae_spans_seconds_and_starts_between_frames():
    assert s.clip_span(16, 4, 15) == 32
    starts = [s.span_start(100, 64.0, KeyedRNG(key, "start")) for key in range(200)]
    assert 0 <= min(starts) < 2
    assert 34 < max(starts) < 36
    assert any(start % 1 for start in starts)
    assert s.span_start(60, 64.0, KeyedRNG(0, "start")) == 0
    assert [s.span_view_start(300, 64.0, view, 5) for view in range(5)] == [0, 59, 118, 177, 236]
    assert s.span_view_start(300, 64.0, 0, 1) == 118
    assert s.span_view_start(30, 64.0, 3, 5) == 0


@pytest.mark.parametrize("total", TOTALS)
def test_all_ids_lie_in_the_video(total):
    draws = KeyedRNG(3, "all")
    rules = [
        s.dense_ids(total, 16, 4, s.dense_start(total, 16, 4, draws)),
        s.window_ids(total, 16, 4, s.window_end(total, 16, 4, draws)),
        s.window_ids(total, 16, 4, s.window_end(total, 16, 4)),
        s.segment_ids(total, 16, draws),
        s.segment_ids(total, 16),
        *[s.dense_view_ids(total, 16, 4, view, 5) for view in range(5)],
        *[s.segment_view_ids(total, 16, view, 2) for view in range(2)],
        s.span_ids(total, 16, 64.0, s.span_start(total, 64.0, draws)),
    ]
    for ids in rules:
        assert ids.shape == (16,)
        assert ids.dtype == np.int64
        assert ids.min() >= 0
        assert ids.max() < total
        assert (np.diff(ids) >= 0).all()
