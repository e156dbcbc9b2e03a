"""A decoded frame as an upright RGB array."""

import math
import threading
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter


class _ThreadLocal(threading.local):
    def __init__(self) -> None:
        self.reformatter = VideoReformatter()  # one per thread: creating a context costs more than converting a frame


_local = _ThreadLocal()


def scaled_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Height and width of a frame resized to ``short_side`` pixels on its shorter side.

    The longer side keeps the aspect ratio, rounded to an even number. None keeps the size.
    """
    short = min(height, width)
    if short_side is None or short_side == short:
        return height, width
    longer = max(2 * round(max(height, width) * short_side / short / 2), short_side)
    return short_side if height == short else longer, short_side if width == short else longer


def to_rgb(frame: VideoFrame, short_side: int | None, matrix: np.ndarray | None) -> np.ndarray:
    """Resize and convert a frame in one pass of swscale, then apply the display matrix.

    At its native size a frame is converted bit for bit as PyAV converts it by default.

    Returns:
        uint8 (H, W, 3), possibly a view of memory that the frame owns: copy it.
    """
    height, width = scaled_size(frame.height, frame.width, short_side)
    pixels = _local.reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
    return pixels if matrix is None else upright(pixels, matrix)


def display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """The nine numbers of the frame's display matrix; None without one, and for the identity and a singular matrix.

    Call it once per clip: a frame whose side data was accessed is freed only by the garbage collector.
    """
    side_data: Any = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return None
    matrix = np.frombuffer(bytes(side_data), np.int32)
    a, b, _, c, d = matrix[:5].astype(float)
    return matrix if a * d != b * c and (a <= 0 or d <= 0 or b or c) else None


def upright(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a display matrix, which maps column p and row q to column ``a p + c q`` and row ``b p + d q``.

    Only quarter turns and mirrors are applied; any other angle is rounded to the nearest of them.
    """
    a, b, _, c, d = matrix[:5].astype(int)
    if swaps_axes(matrix):
        return pixels.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def swaps_axes(matrix: np.ndarray | None) -> bool:
    """Whether a display matrix exchanges height and width."""
    if matrix is None:
        return False
    a, b, _, c, d = np.abs(matrix[:5].astype(int))
    return bool(b + c > a + d)


def rotation_of(matrix: np.ndarray | None) -> int:
    """Rotation of a display matrix in degrees counterclockwise, -179 to 180, rounded; mirrors are not part of it."""
    if matrix is None:
        return 0
    a, b, _, c, d = matrix[:5].astype(float)
    if a * d < b * c:  # a mirror of left and right, or of top and bottom, whichever leaves the smaller angle
        a, b = max((a, b), (-a, -b))
    degrees = -round(math.degrees(math.atan2(b, a)))
    return 180 if degrees == -180 else degrees


def is_mirrored(matrix: np.ndarray | None) -> bool:
    """Whether a display matrix mirrors the picture."""
    if matrix is None:
        return False
    a, b, _, c, d = matrix[:5].astype(float)
    return bool(a * d < b * c)
