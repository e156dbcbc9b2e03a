"""Frames of a video in a JPEG shard, a tar file that `vmae-zoo cache` wrote.

The path of such a video is its shard and the position of its JSON header there: ``ROOT/shard-000003.tar/1048576+2048``
is a header of 2,048 bytes at byte 1,048,576. The header lists the sizes of the JPEGs that follow, and with them their
positions. A clip takes two reads: one for the header, one for its frames.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from vmae_zoo.video.frame_conversion import scaled_size
from vmae_zoo.video.storage import read_pieces
from vmae_zoo.video.video_info import VideoError, VideoInfo

BLOCK = 512  # bytes: tar headers and members fill whole blocks
MAX_JPEG_BYTES = 1 << 28  # of a frame
_NAME = re.compile(r"^(.+\.tar)/(\d+)\+(\d+)$", re.DOTALL)


def padded(size: int | np.ndarray) -> int | np.ndarray:
    """Bytes that a member of a tar file occupies, without its header."""
    return (size + BLOCK - 1) // BLOCK * BLOCK


@dataclass(frozen=True)
class ShardEntry:
    """Position of a video in a shard, a tar file: first byte and number of bytes of its JSON header."""

    shard: Path
    offset: int
    length: int

    @classmethod
    def parse(cls, name: str) -> "ShardEntry | None":
        """The entry that a path names; None for the path of a video file."""
        found = _NAME.match(name)
        return None if found is None else cls(Path(found[1]), int(found[2]), int(found[3]))

    @property
    def path(self) -> Path:
        """The path that `parse` reads."""
        return self.shard / f"{self.offset}+{self.length}"


@dataclass(frozen=True)
class Header:
    """The JSON header of a video.

    Args:
        id: its path relative to the root of the source.
        info: metadata of the frames in the shard.
        starts: first byte of each frame's JPEG.
        ends: one past the last byte of each frame's JPEG.
        times: seconds of each frame after the first one, for a variable rate; None for a constant one.
    """

    id: str
    info: VideoInfo
    starts: np.ndarray
    ends: np.ndarray
    times: np.ndarray | None


@lru_cache(maxsize=256)  # about 5 KB each
def read_header(entry: ShardEntry) -> Header:
    """Read the JSON header of a video; `VideoError` if there is none."""
    (text,) = _read(entry, [entry.offset], [entry.offset + entry.length])
    try:
        meta = json.loads(text)
        sizes = np.array(meta["sizes"], np.int64)
        if sizes.ndim != 1 or not len(sizes) or min(meta["height"], meta["width"]) < 1:
            raise ValueError
        if sizes.min() < 1 or sizes.max() > MAX_JPEG_BYTES:
            raise ValueError
        steps = BLOCK + padded(sizes)
        starts = entry.offset + padded(entry.length) + BLOCK + np.cumsum(steps) - steps
        times = np.array(meta["times_us"], np.int64) / 1e6 if "times_us" in meta else None
        if times is not None and (times.shape != sizes.shape or (np.diff(times, prepend=0.0) < 0).any()):
            raise ValueError
        info = VideoInfo(
            len(sizes),
            meta["height"],
            meta["width"],
            meta["fps"],
            "jpeg",
            0,
            seekable=True,
            constant_rate=times is None,
        )
        return Header(meta["id"], info, starts, starts + sizes, times)
    except (ValueError, KeyError, TypeError, ArithmeticError):
        raise VideoError(f"{entry.shard} is damaged: no video starts at byte {entry.offset}") from None


def read_frames(entry: ShardEntry, wanted: np.ndarray, short_side: int | None) -> np.ndarray:
    """Frames of a video, as `vmae_zoo.video.decode.read_clip` returns them."""
    header = read_header(entry)
    positions, back = np.unique(wanted, return_inverse=True)
    if positions[-1] >= header.info.frames:
        last = header.info.frames - 1
        raise IndexError(f"frame {positions[-1]} of {header.id}: it has {last + 1} frames (0 to {last})")
    blobs = _read(entry, header.starts[positions].tolist(), header.ends[positions].tolist())
    height, width = header.info.height, header.info.width
    size = scaled_size(height, width, short_side)
    frames = np.empty((len(positions), *size, 3), np.uint8)
    for number, blob in enumerate(blobs):
        pixels = decode_jpeg(blob)
        if pixels is None or pixels.shape != (height, width, 3):
            raise VideoError(f"{entry.shard} is damaged at frame {positions[number]} of {header.id}")
        if size != (height, width):
            pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
        frames[number] = pixels
    return frames if len(positions) == len(back) and (back == np.arange(len(back))).all() else frames[back]


def _read(entry: ShardEntry, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
    try:
        return read_pieces(entry.shard, starts, ends)
    except OSError as error:
        raise VideoError(f"{entry.shard} cannot be read: {error.strerror or error}") from None


def decode_jpeg(blob: bytes) -> np.ndarray | None:
    """uint8 RGB (H, W, 3); None if the data is damaged or truncated."""
    if blob[:2] != b"\xff\xd8" or blob[-2:] != b"\xff\xd9":  # OpenCV would fill the missing part with gray
        return None
    try:
        return cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # the header states a size that exceeds OpenCV's limit
        return None


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Encode uint8 RGB (H, W, 3)."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
