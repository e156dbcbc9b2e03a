"""Frames of a video file by their position, exactly as a decode from the start lists them.

PyAV (FFmpeg) decodes, with one thread: a loader has a worker per core. Where the packets prove which frame lies where
(`timeline`), decoding begins at the nearest keyframe and leaves out what nothing needs; everywhere else it begins at
the first frame and counts. Times serve as names of frames, never for arithmetic.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmae_zoo.video.frame_conversion import display_matrix, to_pixels
from vmae_zoo.video.jpeg_shards import Place, header_of, read_frames
from vmae_zoo.video.packet_index import IndexMismatchError, PacketIndex, decode_run, read_timeline
from vmae_zoo.video.video_info import VideoError, VideoInfo

__all__ = ["VideoError", "VideoInfo", "opened", "probe", "read_clip", "set_index_lookup"]


def probe(path: str | Path) -> VideoInfo:
    """Size, rate and true frame count of a video, remembered in this process until the file changes.

    Cheap where the packets prove the count, a decode of the whole file elsewhere.

    Raises:
        VideoError: the file is missing, is not a video, holds no frame, or is damaged so that decoding stops.
    """
    place = Place.of(os.fspath(path))
    return _info(*_identity(path)) if place is None else header_of(place).info


def read_clip(
    path: str | Path,
    frame_ids: Sequence[int] | np.ndarray,
    short_side: int | None = None,
) -> np.ndarray:
    """Decode frames of a video.

    Args:
        path: the video file, or a video of a cache as its catalog names it.
        frame_ids: 0-based positions in presentation order, as a decode from the start lists the frames; any order,
            repeats allowed.
        short_side: resize so that the shorter side has this many pixels; the longer one follows, rounded to an even
            number. None keeps the native size.

    Returns:
        uint8 (T, H, W, 3), RGB as PyAV converts by default, display rotation applied.

    Raises:
        IndexError: an id is negative or past the end.
        VideoError: the file is missing, is not a video, or is damaged so that a wanted frame cannot be had.
    """
    wanted = np.asarray(frame_ids)
    if wanted.ndim != 1 or wanted.size == 0 or wanted.dtype.kind not in "iu":
        raise ValueError(f"frame_ids = {frame_ids!r}: give one or more whole numbers")
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side = {short_side}: give a positive number of pixels, or None for the native size")
    if wanted.min() < 0:
        raise IndexError(f"frame {wanted.min()} was asked of {path}: positions count from 0")
    place = Place.of(os.fspath(path))
    if place is not None:
        return read_frames(place, wanted, short_side)
    identity = _identity(path)
    memory = _memory(*identity)
    name, last = identity[0], int(wanted.max())
    if memory.timeline is not None:
        if last >= memory.timeline.frames:
            raise _past_the_end(name, last, memory.timeline.frames)
        try:
            with opened(name) as (container, stream):
                timeline = memory.timeline
                runs = timeline.runs(np.unique(wanted).tolist())
                frames = (found for run in runs for found in decode_run(container, stream, timeline, run))
                return _collect(frames, name, wanted, short_side)
        except (IndexMismatchError, av.FFmpegError):
            memory.timeline = memory.info = None
            _info.cache_clear()
    try:
        with opened(name) as (container, stream):
            return _collect(_counted(container, stream, name), name, wanted, short_side)
    except av.FFmpegError as error:
        raise VideoError(f"{name} has frames that FFmpeg cannot convert: {error.strerror}") from None


@dataclass
class _Memory:
    """What the packets of a file tell; both None where they prove nothing."""

    timeline: PacketIndex | None
    info: VideoInfo | None


@lru_cache(maxsize=8192)  # of less than a kilobyte each
def _info(name: str, size: int, mtime_ns: int) -> VideoInfo:
    memory = _memory(name, size, mtime_ns)
    if memory.info is not None:
        return memory.info
    with opened(name) as (container, stream):
        return _inspect(stream, _counted(container, stream, name), None)


IndexLookup = Callable[[str, int, int], tuple[VideoInfo, PacketIndex | None] | None]
_recall: IndexLookup | None = None


def set_index_lookup(recall: IndexLookup | None) -> None:
    """Have this process ask ``recall(name, size, mtime_ns)``, an index, before it reads the packets of a file."""
    global _recall
    _recall = recall


@lru_cache(maxsize=256)  # of about 20 bytes a frame
def _memory(name: str, size: int, mtime_ns: int) -> _Memory:
    known = _recall(name, size, mtime_ns) if _recall else None
    if known:
        return _Memory(known[1], known[0])
    with opened(name) as (container, stream):
        try:
            timeline = read_timeline(container, stream)
            if timeline is not None:
                first = decode_run(container, stream, timeline, timeline.runs([0])[0])
                return _Memory(timeline, _inspect(stream, first, timeline))
        except (IndexMismatchError, av.FFmpegError):
            pass
    return _Memory(None, None)


def _inspect(stream: VideoStream, frames: Iterator[tuple[int, VideoFrame]], timeline: PacketIndex | None) -> VideoInfo:
    """Describe a video by its header, its first frame and, without a timeline, the number of its frames."""
    _, first = next(frames)
    height, width, rotation = first.height, first.width, first.rotation
    count = 1 + sum(1 for _ in frames)
    del first
    if rotation % 180:
        height, width = width, height
    return VideoInfo(
        frames=count if timeline is None else timeline.frames,
        height=height,
        width=width,
        fps=float(stream.average_rate or stream.guessed_rate or 0),
        codec=stream.codec_context.codec.canonical_name,
        rotation=rotation,
        seekable=timeline is not None,
    )


def _identity(path: str | Path) -> tuple[str, int, int]:
    name = os.fspath(path)
    try:
        status = os.stat(name)
    except OSError as error:
        raise VideoError(f"{name} cannot be read: {error.strerror}") from None
    if status.st_size == 0:
        raise VideoError(f"{name} is empty (0 bytes)")
    return name, status.st_size, status.st_mtime_ns


def _past_the_end(name: str, position: int, frames: int) -> IndexError:
    return IndexError(f"frame {position} was asked of {name}, which has {frames} (0 to {frames - 1})")


@contextmanager
def opened(name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its first video stream for decoding with one thread; `VideoError` if there is none."""
    try:
        container = av.open(f"file:{name}", metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{name} is not a video that FFmpeg can open: {error.strerror}") from None
    with container:
        videos = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not videos:
            raise VideoError(f"{name} has no video stream")
        stream = videos[0]
        if stream.codec_context is None:
            raise VideoError(f"{name} is in a codec that this FFmpeg cannot decode")
        stream.codec_context.thread_count = 1
        stream.codec_context.thread_type = "NONE"
        yield container, stream


def _counted(container: InputContainer, stream: VideoStream, name: str) -> Iterator[tuple[int, VideoFrame]]:
    """All frames from the start with their positions."""
    frames, position = container.decode(stream), 0
    while True:
        try:
            frame = next(frames, None)
        except av.FFmpegError as error:
            raise VideoError(f"{name} is damaged: decoding stops after {position} frames ({error.strerror})") from None
        if frame is None:
            break
        yield position, frame
        position += 1
    if position == 0:
        raise VideoError(f"{name} has no frame that can be decoded")


def _collect(
    frames: Iterator[tuple[int, VideoFrame]], name: str, wanted: np.ndarray, short_side: int | None
) -> np.ndarray:
    """Convert the wanted frames, which come in ascending order, into their places in the clip."""
    clip, matrix, position, last = None, None, -1, int(wanted.max())
    for position, frame in frames:
        places = np.flatnonzero(wanted == position)
        if places.size:
            if clip is None:
                matrix = display_matrix(frame)
            pixels = to_pixels(frame, short_side, matrix)
            if clip is None:
                clip = np.empty((len(wanted), *pixels.shape), np.uint8)
            elif clip.shape[1:] != pixels.shape:
                raise VideoError(f"{name} changes its frame size from {clip.shape[1:3]} to {pixels.shape[:2]}")
            clip[places] = pixels
        if position >= last:
            break
    if position < last or clip is None:
        raise _past_the_end(name, last, position + 1)
    return clip
