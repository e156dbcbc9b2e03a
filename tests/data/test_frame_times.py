"""Segments and sampling by time follow the times of the frames, at variable rates and with a late start."""

import numpy as np
import pytest

from vmae_zoo.data import ClipRecord, ClipSpec
from vmae_zoo.data.clip_frames import clip_ids, segment_of
from vmae_zoo.data.reader import FILES
from vmae_zoo.video.decode import frame_times, probe
from vmae_zoo.video.timing import frame_rate, sorted_times

SLOWER = [40 * k for k in range(41)] + [1600 + 280 * k for k in range(1, 37)]  # 25 fps, then one frame each 0.28 s


def segment(path, start, end):
    return segment_of(ClipRecord("x", path, start=start, end=end), probe(path))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.flv", "clip.m2ts"])
@pytest.mark.parametrize("offset", [0, 10_000])
def test_segments_of_a_variable_rate(name, offset, encode, tmp_path):
    path = encode(tmp_path / name, frames=77, times=[offset + time for time in SLOWER])
    info, seconds = probe(path), np.array(SLOWER) / 1000
    assert not info.constant_rate
    assert info.fps == pytest.approx(76 / seconds[-1], rel=1e-3)
    np.testing.assert_allclose(frame_times(path), seconds, atol=0.001)
    assert segment(path, 5, 8) == (53, 10)
    assert segment(path, 0, 1) == (0, 25)
    assert segment(path, None, 1.6) == (0, 40)
    assert segment(path, 5.0, 5.1) == (52, 1)  # the frame that is shown then
    with pytest.raises(ValueError, match="outside"):
        segment(path, 30, 31)


@pytest.mark.parametrize("rate", [25, 30, 10])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_segments_of_a_constant_rate_are_frames_from_start_until_before_end(name, rate, encode, tmp_path):
    path = encode(tmp_path / name, frames=40, rate=rate)
    assert probe(path).constant_rate
    for start, end in ((0, 1), (0.5, 1.3), (0.33, 0.34), (7 / rate, 21 / rate)):
        first, count = segment(path, start, end)
        expected = [k for k in range(40) if start - 1e-3 <= k / rate < end - 1e-3]
        assert list(range(first, first + count)) == (expected or [int(start * rate)])


def test_sampling_by_time_of_a_recording_that_states_a_wrong_rate(encode, tmp_path):
    times = [75 * k + 31 * k % 40 for k in range(120)]
    path = encode(tmp_path / "recorder.webm", codec="libvpx", frames=120, times=times, rate=1000)
    info = probe(path)
    assert info.fps == pytest.approx(119_000 / times[-1], rel=0.01)
    clip = ClipSpec(16, 4, 32, "span", (30.0,))
    ids = clip_ids(ClipRecord("x", path), info, clip, None)
    seconds = frame_times(path)[ids]
    assert len(set(ids.tolist())) == 16
    np.testing.assert_allclose(np.diff(seconds), (64 / 30 - 1 / info.fps) / 15, atol=0.11)  # frames last up to 0.106 s
    slower = encode(tmp_path / "slower.mp4", frames=77, times=SLOWER)
    seconds = frame_times(slower)[clip_ids(ClipRecord("x", slower), probe(slower), clip, None, reader=FILES)]
    assert seconds[-1] - seconds[0] == pytest.approx(64 / 30, abs=0.57)


def test_repeated_and_missing_times_are_placed_between_their_neighbors():
    times = [0, 40, 80, 80, 160, None, 240, 1240, 2240]
    assert sorted_times(times, "matroska", False).tolist() == [0, 40, 80, 120, 160, 200, 240, 1240, 2240]
    assert sorted_times(times, "mpeg", False) is None, "FFmpeg fills in wrong times there"
    assert sorted_times(list(range(9)), "avi", True) is None
    assert sorted_times([0, None, None], "matroska", False) is None


def test_one_shifted_time_at_either_end_is_no_variable_rate():
    even = 40 * np.arange(60)
    for places in ([0], [-1]):
        shifted = even.copy()
        shifted[places] += 39 if places == [0] else -39
        assert frame_rate(shifted, 0.001, 25) == (25, True)
    late = even.copy()
    late[1:] += 200
    assert not frame_rate(late, 0.001, 25)[1]
