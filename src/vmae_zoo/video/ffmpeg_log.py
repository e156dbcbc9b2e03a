"""What FFmpeg says while it decodes: it mends most damage with what it has seen before, and says so only in its log."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import av.logging
import numpy as np

from vmae_zoo.video.decode import VideoError, VideoInfo, probe, read_clip
from vmae_zoo.video.motion_vectors import Motion

_heard: dict[str, str] = {}  # of files whose packets were read in this process
MOST = 4096
IN_AVI = ("mpeg4", "mjpeg", "h264")

# FFmpeg's words, on the level of errors, for pixels that it had to make up or could not find. Whole files make it say
# other things on that level too, so its silence proves more than its words.
DAMAGE = (
    "concealing",
    "corrupt",
    "could not find ref",
    "damaged",
    "decode error",
    "error at mb",
    "error constructing",
    "error count",
    "error decoding",
    "error parsing",
    "error splitting",
    "error while decoding",
    "error y=",
    "exceeds containing",
    "exceeds max length",
    "failed to parse",
    "file ended prematurely",
    "illegal",
    "invalid as first byte",
    "invalid cbp",
    "invalid data",
    "invalid mb type",
    "invalid nal",
    "invalid slice",
    "invalid track number",
    "invalid value",
    "marker does not match",
    "missing picture",
    "missing reference",
    "mvs not available",
    "out of range",
    "overread",
    "partial file",
    "skipped mb",
    "slice mismatch",
    "truncat",
    "unable to decode",
    "unknown obu",
)


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect what FFmpeg says of damage, a list that grows; nothing of it reaches the terminal."""
    level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # PyAV would drop what the last file made FFmpeg say too
    complaints: list[str] = []
    try:
        with av.logging.Capture() as said:
            try:
                yield complaints
            finally:
                for _, _, text in said:
                    if any(word in text.lower() for word in DAMAGE):
                        complaints.append(text.strip())
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skip)


@lru_cache(maxsize=MOST)
def cut_avi(name: str) -> int:
    """Frames that the header of an AVI file counts which is shorter than it says; 0 of any other file.

    Where packets are missing from it, MPEG-4 goes on from wrong frames without a word.
    """
    try:
        with open(name, "rb") as file:
            head = file.read(52)
    except OSError:  # a place in a shard
        return 0
    cut = head[:4] == b"RIFF" and int.from_bytes(head[4:8], "little") + 8 > os.path.getsize(name)
    return int.from_bytes(head[48:], "little") if cut and head[24:28] == b"avih" else 0


def probe_heard(path: str | Path) -> VideoInfo:
    """`probe`; what FFmpeg says of the file meanwhile, `read_heard` repeats for every clip of it."""
    with listening() as complaints:
        info = probe(path)
    if info.codec in IN_AVI and info.frames < cut_avi(str(path)) - 2:
        complaints.append("the file ends early")
    if complaints:
        _heard[str(path)] = complaints[0]
        if len(_heard) > MOST:
            _heard.pop(next(iter(_heard)))
    return info


def read_heard(
    path: str | Path,
    frame_ids: Sequence[int] | np.ndarray,
    short_side: int | None = None,
    refuse_corrupt: bool = False,
    motion: Motion | None = None,
) -> tuple[np.ndarray, str | None]:
    """`read_clip`, and what is made up in it.

    Args:
        path: the video file.
        frame_ids: as of `read_clip`.
        short_side: as of `read_clip`.
        refuse_corrupt: raise `VideoError` where the decoder had to make something up.
        motion: as of `read_clip`.

    Returns:
        The clip, and a sentence on what the decoder made up, None where nothing.
    """
    reason = None
    with listening() as complaints:
        try:
            clip = read_clip(path, frame_ids, short_side, refuse_corrupt=True, motion=motion)
        except VideoError as error:
            if refuse_corrupt:
                raise
            clip, reason = read_clip(path, frame_ids, short_side, motion=motion), str(error)
    said = complaints[0] if complaints else _heard.get(str(path))
    if said and reason is None:
        reason = f"{path} is damaged: the decoder had to conceal errors (FFmpeg: {said})"
        if refuse_corrupt:
            raise VideoError(reason)
    return clip, reason
