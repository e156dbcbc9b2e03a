"""Frames from a shard: a video is named by its shard and its place in it, ``ROOT/shard-000003.tar/1048576+2048``.

At that byte of the tar file its JSON begins (so many bytes long), which tells the sizes of the JPEGs behind it, and so
where each lies: two reads, or one and a request a stretch from a store, give the frames of a clip.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from vmae_zoo.video.storage import read_pieces
from vmae_zoo.video.video_info import VideoError, VideoInfo

BLOCK = 512  # bytes: tar's members, and the headers before them, fill such blocks
LARGEST = 1 << 28  # bytes of a frame
_NAME = re.compile(r"^(.+\.tar)/(\d+)\+(\d+)$", re.DOTALL)


def padded(size: int | np.ndarray) -> int | np.ndarray:
    """Bytes that a member of a tar file takes without its header."""
    return (size + BLOCK - 1) // BLOCK * BLOCK


@dataclass(frozen=True)
class Place:
    """Where a video lies.

    Args:
        shard: the tar file.
        offset: byte at which its JSON begins.
        length: bytes of the JSON.
    """

    shard: Path
    offset: int
    length: int

    @classmethod
    def of(cls, name: str) -> "Place | None":
        """The place that a path names, None for a video file."""
        found = _NAME.match(name)
        return None if found is None else cls(Path(found[1]), int(found[2]), int(found[3]))

    @property
    def path(self) -> Path:
        """What `of` reads."""
        return self.shard / f"{self.offset}+{self.length}"


@dataclass(frozen=True)
class Header:
    """What a video's JSON tells.

    Args:
        id: its path below the root of the source.
        info: of the frames in the shard.
        starts: byte of each frame's JPEG.
        ends: the byte behind it.
    """

    id: str
    info: VideoInfo
    starts: np.ndarray
    ends: np.ndarray


@lru_cache(maxsize=256)  # of about 5 KB each
def header_of(place: Place) -> Header:
    """Read a video's JSON; `VideoError` where there is none."""
    try:
        (text,) = read_pieces(place.shard, [place.offset], [place.offset + place.length])
        told = json.loads(text)
        sizes = np.array(told["sizes"], np.int64)
        if (
            sizes.ndim != 1
            or not len(sizes)
            or sizes.min() < 1
            or sizes.max() > LARGEST
            or min(told["height"], told["width"]) < 1
        ):
            raise ValueError
        steps = BLOCK + padded(sizes)
        starts = place.offset + padded(place.length) + BLOCK + np.cumsum(steps) - steps
        info = VideoInfo(len(sizes), told["height"], told["width"], told["fps"], "jpeg", 0, seekable=True)
        return Header(told["id"], info, starts, starts + sizes)
    except OSError as error:
        raise VideoError(f"{place.shard} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, ArithmeticError):
        raise VideoError(f"{place.shard} is damaged: no video begins at byte {place.offset}") from None


def read_frames(place: Place, wanted: np.ndarray, short_side: int | None) -> np.ndarray:
    """Frames of a video, as `vmae_zoo.video.decode.read_clip` gives them."""
    header = header_of(place)
    positions, back = np.unique(wanted, return_inverse=True)
    if positions[-1] >= header.info.frames:
        last = header.info.frames - 1
        raise IndexError(f"frame {positions[-1]} was asked of {header.id}, which has {last + 1} (0 to {last})")
    try:
        blobs = read_pieces(place.shard, header.starts[positions].tolist(), header.ends[positions].tolist())
    except OSError as error:
        raise VideoError(f"{place.shard} cannot be read: {error.strerror or error}") from None
    height, width = header.info.height, header.info.width
    size = _resized(height, width, short_side)
    frames = np.empty((len(positions), *size, 3), np.uint8)
    for number, blob in enumerate(blobs):
        pixels = _decoded(blob)
        if pixels is None or pixels.shape != (height, width, 3):
            raise VideoError(f"{place.shard} is damaged at frame {positions[number]} of {header.id}")
        if size != (height, width):
            pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
        frames[number] = pixels
    return frames if len(positions) == len(back) and (back == np.arange(len(back))).all() else frames[back]


def _resized(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """The size that `vmae_zoo.video.frame_conversion.to_pixels` gives."""
    short = min(height, width)
    if short_side is None or short_side == short:
        return height, width
    longer = max(2 * round(max(height, width) * short_side / short / 2), short_side)
    return (short_side, longer) if height == short else (longer, short_side)


def _decoded(blob: bytes) -> np.ndarray | None:
    if blob[:2] != b"\xff\xd8" or blob[-2:] != b"\xff\xd9":  # OpenCV would fill what is missing with grey
        return None
    try:
        return cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # a size that no memory holds
        return None


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Encode uint8 RGB (H, W, 3)."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
