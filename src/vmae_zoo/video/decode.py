"""Frames of a video file by position, exactly as decoding from the start lists them.

PyAV (FFmpeg) decodes with one thread, because a loader has one worker per core. If the packets prove the position of
every frame (`vmae_zoo.video.packet_index`), decoding starts at the nearest keyframe and skips packets that no wanted
frame depends on; otherwise it starts at the first frame and counts. Presentation times identify frames and are never
used for arithmetic.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmae_zoo.video.container import decode_all, file_identity, open_video
from vmae_zoo.video.frame_conversion import display_matrix, rotation_of, swaps_axes, to_rgb
from vmae_zoo.video.jpeg_shards import ShardEntry, read_frames, read_header
from vmae_zoo.video.packet_index import IndexMismatchError, PacketIndex, decode_range, read_packet_index
from vmae_zoo.video.timing import frame_rate, sorted_times
from vmae_zoo.video.video_info import VideoError, VideoInfo

__all__ = ["IndexLookup", "VideoError", "VideoInfo", "frame_times", "probe", "read_clip"]

IndexLookup = Callable[[str, int, int], tuple[VideoInfo, PacketIndex | None] | None]
"""Returns what an index of the data set stores about a file of this path, size and modification time (ns)."""


def probe(path: str | Path, lookup: IndexLookup | None = None) -> VideoInfo:
    """Size, frame rate and true frame count of a video, cached in this process until the file changes.

    Reads all packets if they determine the frame count, and decodes the whole file otherwise.

    Args:
        path: the video file, or a video of a cache as its catalog names it.
        lookup: asked before the file is read.

    Raises:
        VideoError: the file is missing, is not a video, has no frame, or is damaged so that decoding stops.
    """
    entry = ShardEntry.parse(os.fspath(path))
    return _info(*file_identity(path), lookup) if entry is None else read_header(entry).info


def frame_times(path: str | Path, lookup: IndexLookup | None = None) -> np.ndarray:
    """Time of each frame in seconds after the first one: float64 (frames,), ascending.

    The times of a video without a constant rate are those of its packets or, if these are not enough, of its decoded
    frames; both are cached in this process. All other times follow from the frame rate.

    Raises:
        VideoError: see `probe`; also if the video states no frame rate.
    """
    info, entry = probe(path, lookup), ShardEntry.parse(os.fspath(path))
    if entry is not None and not info.constant_rate:
        times = read_header(entry).times
        assert times is not None
        return times
    if not info.constant_rate:
        times = _times(*file_identity(path), lookup)
        if times is not None:
            return (times - times[0]) * info.time_step
    if info.fps <= 0:
        raise VideoError(f"{path} does not state its frame rate, which times need")
    return np.arange(info.frames) / info.fps


def read_clip(
    path: str | Path,
    frame_ids: Sequence[int] | np.ndarray,
    short_side: int | None = None,
    lookup: IndexLookup | None = None,
) -> np.ndarray:
    """Decode frames of a video.

    Args:
        path: the video file, or a video of a cache as its catalog names it.
        frame_ids: 0-based positions in presentation order, as decoding from the start lists the frames; any order,
            repeats allowed.
        short_side: resize to this many pixels on the shorter side; the longer side keeps the aspect ratio, rounded to
            an even number. None keeps the native size.
        lookup: asked before the packets of the file are read.

    Returns:
        uint8 (T, H, W, 3), RGB as PyAV converts by default, display rotation applied.

    Raises:
        IndexError: an id is negative or past the end.
        VideoError: the file is missing, is not a video, or is damaged before a wanted frame.
    """
    wanted = np.asarray(frame_ids)
    if wanted.ndim != 1 or wanted.size == 0 or wanted.dtype.kind not in "iu":
        raise ValueError(f"frame_ids = {frame_ids!r}: give one or more integers")
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side = {short_side}: must be >= 1, or None for the native size")
    if wanted.min() < 0:
        raise IndexError(f"frame {wanted.min()} of {path}: positions start at 0")
    entry = ShardEntry.parse(os.fspath(path))
    if entry is not None:
        return read_frames(entry, wanted, short_side)
    name, size, mtime_ns = file_identity(path)
    facts, last = _facts(name, size, mtime_ns, lookup), int(wanted.max())
    if facts.index is not None:
        if last >= facts.index.frames:
            raise _past_the_end(name, last, facts.index.frames)
        try:
            with open_video(name) as (container, stream):
                index = facts.index
                ranges = index.ranges(np.unique(wanted).tolist())
                frames = (found for packets in ranges for found in decode_range(container, stream, index, packets))
                return _collect(frames, name, wanted, short_side)
        except (IndexMismatchError, av.FFmpegError):
            facts.index = facts.info = None
            _info.cache_clear()
    try:
        with open_video(name) as (container, stream):
            return _collect(decode_all(container, stream, name), name, wanted, short_side)
    except av.FFmpegError as error:
        raise VideoError(f"{name}: FFmpeg cannot convert its frames: {error.strerror}") from None


@dataclass
class _Facts:
    """What the packets of a file prove; None for what they do not."""

    index: PacketIndex | None
    info: VideoInfo | None


@lru_cache(maxsize=8192)  # less than 1 KB each
def _info(name: str, size: int, mtime_ns: int, lookup: IndexLookup | None) -> VideoInfo:
    facts = _facts(name, size, mtime_ns, lookup)
    if facts.info is not None:
        return facts.info
    with open_video(name) as (container, stream):
        return _describe(container, stream, decode_all(container, stream, name), None)


@lru_cache(maxsize=256)
def _times(name: str, size: int, mtime_ns: int, lookup: IndexLookup | None) -> np.ndarray | None:
    index = _facts(name, size, mtime_ns, lookup).index
    if index is not None:
        return index.times
    with open_video(name) as (container, stream):
        times = [frame.pts for _, frame in decode_all(container, stream, name)]
        return sorted_times(times, container.format.name, bool(stream.codec_context.has_b_frames))


@lru_cache(maxsize=256)  # about 20 bytes per frame
def _facts(name: str, size: int, mtime_ns: int, lookup: IndexLookup | None) -> _Facts:
    known = lookup(name, size, mtime_ns) if lookup else None
    if known:
        return _Facts(known[1], known[0])
    with open_video(name) as (container, stream):
        try:
            index = read_packet_index(container, stream)
            if index is not None:
                first = decode_range(container, stream, index, index.ranges([0])[0])
                return _Facts(index, _describe(container, stream, first, index))
        except (IndexMismatchError, av.FFmpegError):
            pass
    return _Facts(None, None)


def _describe(
    container: InputContainer,
    stream: VideoStream,
    frames: Iterator[tuple[int, VideoFrame]],
    index: PacketIndex | None,
) -> VideoInfo:
    """Metadata from the header and the first frame; without a packet index all frames are counted."""
    _, first = next(frames)
    height, width, matrix = first.height, first.width, display_matrix(first)
    all_times = [first.pts]
    del first
    if index is None:
        all_times += [frame.pts for _, frame in frames]
    b_frames = bool(stream.codec_context.has_b_frames)
    times = sorted_times(all_times, container.format.name, b_frames) if index is None else index.times
    step = float(stream.time_base or 0)
    fps, constant = frame_rate(times, step, float(stream.average_rate or stream.guessed_rate or 0))
    if swaps_axes(matrix):
        height, width = width, height
    return VideoInfo(
        frames=len(all_times) if index is None else index.frames,
        height=height,
        width=width,
        fps=fps,
        codec=stream.codec_context.codec.canonical_name,
        rotation=rotation_of(matrix),
        seekable=index is not None,
        constant_rate=constant,
        time_step=0.0 if times is None else step,
    )


def _past_the_end(name: str, position: int, frames: int) -> IndexError:
    return IndexError(f"frame {position} of {name}: it has {frames} frames (0 to {frames - 1})")


def _collect(
    frames: Iterator[tuple[int, VideoFrame]], name: str, wanted: np.ndarray, short_side: int | None
) -> np.ndarray:
    """Convert the wanted frames, which arrive in ascending order, into their places in the clip."""
    clip, matrix, position, last = None, None, -1, int(wanted.max())
    for position, frame in frames:
        places = np.flatnonzero(wanted == position)
        if places.size:
            if clip is None:
                matrix = display_matrix(frame)
            pixels = to_rgb(frame, short_side, matrix)
            if clip is None:
                clip = np.empty((len(wanted), *pixels.shape), np.uint8)
            elif clip.shape[1:] != pixels.shape:
                raise VideoError(f"{name}: the frame size changes from {clip.shape[1:3]} to {pixels.shape[:2]}")
            clip[places] = pixels
        if position >= last:
            break
    if position < last or clip is None:
        raise _past_the_end(name, last, position + 1)
    return clip
