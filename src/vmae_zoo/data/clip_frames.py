"""Which frames of a record's video a training clip, an evaluation clip or a test view reads.

`vmae_zoo.data.sampling` has the published rules; here a `ClipSpec` chooses one of them.
"""

import numpy as np

from vmae_zoo.data.clip_spec import ClipSpec
from vmae_zoo.data.reader import FILES, VideoReader
from vmae_zoo.data.sampling import (
    FPS,
    clip_span,
    dense_ids,
    dense_start,
    dense_view_ids,
    segment_ids,
    segment_view_ids,
    span_ids,
    span_start,
    span_view_start,
    sparse_ids,
    window_end,
    window_ids,
)
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.randomness import KeyedRNG
from vmae_zoo.video.decode import VideoError, VideoInfo

ROUNDING = 0.0006  # seconds: Matroska rounds times to milliseconds


def clip_ids(
    record: ClipRecord,
    info: VideoInfo,
    clip: ClipSpec,
    key: int | None,
    purpose: str = "",
    reader: VideoReader = FILES,
) -> np.ndarray:
    """Frames of a random clip, or of the middle clip if ``key`` is None: int64 (frames,).

    Args:
        record: whose segment and stride to use.
        info: metadata of its video.
        clip: number and distance of frames, and the sampling rule.
        key: key of the sample.
        purpose: part of the random key, different for each clip of one sample.
        reader: reads the times of frames, for segments and for sampling by time.
    """
    first, total = segment = segment_of(record, info, reader)
    frames, stride = clip.frames, record.stride_frames or clip.stride_frames
    rng = None if key is None else KeyedRNG(key, "start" + purpose)
    if clip.sampling == "span":
        fps = clip.fps[0] if key is None else KeyedRNG(key, "fps" + purpose).choice(clip.fps)
        span = clip_span(frames, stride, rate_of(record, info), fps)
        total = evenly_timed_total(record, info, segment, reader)
        start = span_start(total, span, rng) if rng else span_view_start(total, span, 0, 1)
        ids = by_time(span_ids(total, frames, span, start), record, info, segment, reader)
    elif clip.sampling == "uniform":
        ids = segment_ids(total, frames, rng)
    elif clip.sampling == "sparse":
        ids = sparse_ids(total, frames, rng)
    elif clip.sampling == "window":
        ids = window_ids(total, frames, stride, window_end(total, frames, stride, rng))
    else:
        start = dense_start(total, frames, stride, rng) if rng else max(total - frames * stride, 0) // 2
        ids = dense_ids(total, frames, stride, int(start))
    return first + ids


def view_ids(clip: ClipSpec, views: int, total: int, stride_frames: int | None = None, rate: float = FPS) -> np.ndarray:
    """Frames of all test views of a video: int64 (views, frames).

    Args:
        clip: number and distance of frames, and the sampling rule; of several rates the first is used.
        views: number of views along time; one is the middle.
        total: number of frames of the video.
        stride_frames: distance between frames; None: that of the clip.
        rate: frame rate of the video, for clips sampled by time.
    """
    frames, stride = clip.frames, stride_frames or clip.stride_frames
    if clip.sampling == "span":
        span = clip_span(frames, stride, rate, clip.fps[0])
        starts = [span_view_start(total, span, view, views) for view in range(views)]
        ids = [span_ids(total, frames, span, start) for start in starts]
    elif clip.sampling in ("uniform", "sparse"):
        ids = [segment_view_ids(total, frames, view, views) for view in range(views)]
    else:
        ids = [dense_view_ids(total, frames, stride, view, views) for view in range(views)]
    return np.stack(ids)


def rate_of(record: ClipRecord, info: VideoInfo) -> float:
    """Frame rate of a record's video; `VideoError` if the file does not state it."""
    if info.fps <= 0:
        raise VideoError(f"{record.path} does not state its frame rate, which sampling by time needs")
    return info.fps


def segment_of(record: ClipRecord, info: VideoInfo, reader: VideoReader = FILES) -> tuple[int, int]:
    """First frame and number of frames of a record's segment: the frames shown from its start until before its end.

    Times count from the first frame of the video, and may be `ROUNDING` seconds early. A segment between two frames is
    the frame before it.

    Raises:
        VideoError: the segment is outside the video.
    """
    if record.start is None and record.end is None:
        return 0, info.frames
    times = reader.frame_times(record.path) + ROUNDING
    first = int(np.searchsorted(times, record.start or 0.0))
    last = info.frames if record.end is None else int(np.searchsorted(times, record.end))
    if first == last and 0 < first < info.frames:
        first -= 1
    if first >= last:
        raise VideoError(f"{record.path} has {info.frames} frames: the segment {record.id} is outside")
    return first, last - first


def evenly_timed_total(record: ClipRecord, info: VideoInfo, segment: tuple[int, int], reader: VideoReader) -> int:
    """Number of frames that a segment of a video without a constant rate would have at the video's mean rate."""
    first, total = segment
    if info.constant_rate:
        return total
    times = reader.frame_times(record.path)
    return max(round((times[first + total - 1] - times[first]) * info.fps) + 1, 1)


def by_time(
    ids: np.ndarray, record: ClipRecord, info: VideoInfo, segment: tuple[int, int], reader: VideoReader
) -> np.ndarray:
    """Frames of a segment, relative to its first, that are shown when frames ``ids`` would be at the mean rate."""
    if info.constant_rate:
        return ids
    first, total = segment
    times = reader.frame_times(record.path)[first : first + total]
    shown = np.searchsorted(times - ROUNDING, times[0] + ids / info.fps, side="right") - 1
    return np.clip(shown, 0, total - 1)
