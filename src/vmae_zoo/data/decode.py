"""Frames of a video file by their position, exactly as a decode from the start lists them.

PyAV (FFmpeg) decodes, with one thread: a loader has a worker per core.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream


class VideoError(ValueError):
    """A file that cannot be read as a video; the message names it and says why."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds.

    Args:
        frames: frames that decode yields, counted, not the header's word.
        height: rows in pixels, after the display rotation.
        width: columns in pixels, after the display rotation.
        fps: mean frames a second by the header; 0 where it does not say.
        codec: FFmpeg's name of the codec, for example ``"h264"``.
        rotation: display rotation in degrees counterclockwise, already applied to height, width and frames.
        seekable: whether `read_clip` may start at a keyframe; otherwise it counts from the start.
    """

    frames: int
    height: int
    width: int
    fps: float
    codec: str
    rotation: int
    seekable: bool


def probe(path: str | Path) -> VideoInfo:
    """Size, rate and true frame count of a video; remembered as long as the file does not change.

    Raises:
        VideoError: the file is missing, is not a video, holds no frame or is damaged.
    """
    return _probe(*_identity(path))


def read_clip(path: str | Path, frame_ids: Sequence[int] | np.ndarray, short_side: int | None = None) -> np.ndarray:
    """Decode frames of a video.

    Args:
        path: the video file.
        frame_ids: 0-based positions in presentation order, as a decode from the start lists the frames; any order,
            repeats allowed.
        short_side: resize so that the shorter side has this many pixels, the longer one follows (an even number); None
            keeps the native size.

    Returns:
        uint8 (T, H, W, 3), RGB as PyAV converts by default, display rotation applied.

    Raises:
        IndexError: an id is negative or past the end.
        VideoError: the file is missing, is not a video, or is damaged before or at a wanted frame.
    """
    name, *_ = _identity(path)
    wanted = np.asarray(frame_ids)
    if wanted.ndim != 1 or wanted.size == 0 or wanted.dtype.kind not in "iu":
        raise ValueError(f"frame_ids is {frame_ids!r}: give one or more whole numbers")
    if wanted.min() < 0:
        raise IndexError(f"frame {wanted.min()} of {name}: positions start at 0")
    places = {int(position): np.flatnonzero(wanted == position) for position in np.unique(wanted)}
    clip, position, last = None, -1, int(wanted.max())
    with _opened(name) as (container, stream):
        for position, frame in enumerate(_decoded(container, stream, name)):
            if position in places:
                pixels = _pixels(frame, short_side)
                if clip is None:
                    clip = np.empty((len(wanted), *pixels.shape), np.uint8)
                clip[places[position]] = pixels
            if position == last:
                return clip
    raise IndexError(f"frame {last} is past the end of {name}, which has {position + 1} frames")


@lru_cache(maxsize=256)
def _probe(name: str, size: int, mtime_ns: int) -> VideoInfo:
    frames, rotation, height, width = 0, 0, 0, 0
    with _opened(name) as (container, stream):
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        codec = stream.codec_context.codec.name
        for frame in _decoded(container, stream, name):
            if frames == 0:
                rotation, height, width = frame.rotation, frame.height, frame.width
            frames += 1
    if frames == 0:
        raise VideoError(f"{name} holds no frame that decodes")
    if rotation % 180:
        height, width = width, height
    return VideoInfo(frames, height, width, fps, codec, rotation, False)


def _identity(path: str | Path) -> tuple[str, int, int]:
    name = os.fspath(path)
    try:
        status = os.stat(name)
    except OSError as error:
        raise VideoError(f"{name} cannot be read: {error.strerror}") from None
    if status.st_size == 0:
        raise VideoError(f"{name} is empty (0 bytes)")
    return name, status.st_size, status.st_mtime_ns


@contextmanager
def _opened(name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        container = av.open(f"file:{name}", metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{name} is not a video that FFmpeg can open: {error.strerror}") from None
    with container:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            raise VideoError(f"{name} has no video stream")
        stream = streams[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.thread_type = "NONE"
        yield container, stream


def _decoded(container: InputContainer, stream: VideoStream, name: str) -> Iterator[VideoFrame]:
    frames = container.decode(stream)
    position = 0
    while True:
        try:
            frame = next(frames, None)
        except av.FFmpegError as error:
            raise VideoError(f"{name} is damaged after frame {position - 1}: {error.strerror}") from None
        if frame is None:
            return
        yield frame
        position += 1


_of_thread = threading.local()


def _pixels(frame: VideoFrame, short_side: int | None) -> np.ndarray:
    height, width = frame.height, frame.width
    if short_side is not None and min(height, width) != short_side:
        scale = short_side / min(height, width)
        height, width = (
            short_side if side == min(frame.height, frame.width) else 2 * round(side * scale / 2)
            for side in (frame.height, frame.width)
        )
    if not hasattr(_of_thread, "reformatter"):
        _of_thread.reformatter = VideoReformatter()
    pixels = _of_thread.reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
    return np.rot90(pixels, frame.rotation // 90)
