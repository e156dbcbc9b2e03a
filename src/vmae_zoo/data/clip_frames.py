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

    ``purpose`` is part of the random key, different for each clip of one sample.
    """
    segment = SegmentFrames(record, info, clip, reader)
    total, frames, stride = segment.total, clip.frames, record.stride_frames or clip.stride_frames
    rng = None if key is None else KeyedRNG(key, "start" + purpose)
    if clip.sampling == "span":
        fps = clip.fps[0] if key is None else KeyedRNG(key, "fps" + purpose).choice(clip.fps)
        span = clip_span(frames, stride, segment.rate, fps)
        ids = span_ids(total, frames, span, span_start(total, span, rng) if rng else span_view_start(total, span, 0, 1))
    elif clip.sampling == "uniform":
        ids = segment_ids(total, frames, rng)
    elif clip.sampling == "sparse":
        ids = sparse_ids(total, frames, rng)
    elif clip.sampling == "window":
        ids = window_ids(total, frames, stride, window_end(total, frames, stride, rng))
    else:
        start = dense_start(total, frames, stride, rng) if rng else max(total - frames * stride, 0) // 2
        ids = dense_ids(total, frames, stride, start)
    return segment.frames(ids)


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


class SegmentFrames:
    """Positions in a record's segment, as the sampling rule of a clip counts them, and the frames shown there.

    If clips are sampled by time, positions count at the mean rate of the video, else they are frames.

    Attributes:
        first: first frame of the segment.
        total: number of positions.
        rate: positions per second, for clips sampled by time.

    Raises:
        VideoError: the file does not state its frame rate, or the segment is outside the video.
    """

    def __init__(self, record: ClipRecord, info: VideoInfo, clip: ClipSpec, reader: VideoReader = FILES):
        self.first, self.total = segment_of(record, info, reader)
        self._times: np.ndarray | None = None
        self.rate = FPS
        if clip.sampling != "span":
            return
        if info.fps <= 0:
            raise VideoError(f"{record.path} does not state its frame rate, which sampling by time needs")
        self.rate = info.fps
        if not info.constant_rate:
            self._times = reader.frame_times(record.path)[self.first : self.first + self.total]
            self.total = max(round((self._times[-1] - self._times[0]) * self.rate) + 1, 1)

    def frames(self, positions: np.ndarray) -> np.ndarray:
        """Frames of the video: int64, in the shape of the positions."""
        if self._times is not None:
            shown = np.searchsorted(self._times - ROUNDING, self._times[0] + positions / self.rate, side="right") - 1
            positions = np.clip(shown, 0, len(self._times) - 1)
        return self.first + positions
