"""A decoded frame as an upright RGB array."""

import threading
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # of RGB, as BT.601 weighs it

_of_thread = threading.local()


def to_pixels(frame: VideoFrame, short_side: int | None, matrix: np.ndarray | None) -> np.ndarray:
    """Resize and convert in one pass of swscale, then turn upright.

    Args:
        frame: a decoded frame.
        short_side: pixels of the shorter side; the longer one follows, rounded to an even number. None, or a frame that
            has this size: native size, and PyAV's own default conversion bit for bit.
        matrix: see `display_matrix`.

    Returns:
        uint8 (H, W, 3), possibly a view of memory that the frame owns: copy it.
    """
    height, width = frame.height, frame.width
    short = min(height, width)
    if short_side is not None and short != short_side:
        height, width = (
            short_side if side == short else max(2 * round(side * short_side / short / 2), short_side)
            for side in (height, width)
        )
    if not hasattr(_of_thread, "reformatter"):  # one context serves all frames: a new one costs more than converting
        _of_thread.reformatter = VideoReformatter()
    pixels = _of_thread.reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
    return pixels if matrix is None else upright(pixels, matrix)


def display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """The nine numbers of the frame's display matrix, None where it does not turn.

    Ask once a clip: a frame whose side data was looked at lives until the garbage collector finds it.
    """
    if frame.rotation == 0:
        return None
    side_data: Any = frame.side_data
    return np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), np.int32)


def upright(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a display matrix, which sends column p and row q to column ``a p + c q`` and row ``b p + d q``.

    Quarter turns and mirrors only; any other angle is taken to the nearest of them.
    """
    a, b, _, c, d = matrix[:5].astype(int)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return pixels.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
