"""Flow from the motion vectors that the codec stored: no search, the decoder hands them out.

A vector belongs to a block of 8 or 16 pixels and says where the encoder found something similar, which need not be
motion. A block's vector is taken to point into the I or P frame before its own (encoders may reach further back, and
FFmpeg does not tell). `vmae_zoo.data.motion` notes the vectors while a clip is decoded.

Shapes: h, w = blocks of 8 pixels along height and width; fields hold (x, y) in blocks.
"""

from collections.abc import Callable

import cv2
import numpy as np

BLOCK = 8  # pixels; FFmpeg exports no smaller blocks


def block_field(vectors: np.ndarray, height: int, width: int) -> np.ndarray:
    """FFmpeg's list of a frame's vectors as a field: where each block came from.

    Args:
        vectors: structured array of PyAV's ``MotionVectors.to_ndarray``.
        height: of the frame in pixels.
        width: of the frame in pixels.

    Returns:
        float32 (h, w, 2), 0 where a block has no vector.
    """
    rows, columns = (2 * -(-side // (2 * BLOCK)) for side in (height, width))  # of whole macroblocks
    moves = np.zeros(rows * columns, np.complex64)
    back = vectors["source"] < 0
    if not back.all():
        vectors = vectors[back]
    high, wide = vectors["h"].astype(np.intp), vectors["w"].astype(np.intp)
    top, left = (vectors["dst_y"] - high // 2) // BLOCK, (vectors["dst_x"] - wide // 2) // BLOCK
    move = (vectors["motion_x"] + 1j * vectors["motion_y"]) / (BLOCK * vectors["motion_scale"])
    for down in (0, 1):
        for right in (0, 1):
            row, column = top + down, left + right
            held = (high > BLOCK * down) & (wide > BLOCK * right)
            held &= (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            moves[(row * columns + column)[held]] = move[held]
    field = moves.view(np.float32).reshape(rows, columns, 2)
    return field[: -(-height // BLOCK), : -(-width // BLOCK)]


def between(step: Callable[[int], np.ndarray], here: int, there: int) -> np.ndarray:
    """Flow from frame ``here`` to ``there``: the steps between, each looked up where the last one led.

    Args:
        step: float32 (h, w, 2), flow from the frame at a position to the one before it.
        here: position of the frame whose blocks are followed.
        there: position of the frame they are followed to.
    """
    total = np.zeros_like(step(max(here, there)))
    if here >= there:
        for position in range(here, there, -1):
            total = total + _fetch(step(position), total)
        return total
    for position in range(here + 1, there + 1):
        back = step(position)
        forward = -back
        for _ in range(2):  # the step back from where it leads, not from here
            forward = -_fetch(back, forward)
        total = total + _fetch(forward, total)
    return total


def look_up(field: np.ndarray, where: np.ndarray, mode: int = cv2.INTER_LINEAR) -> np.ndarray:
    """A field's values at these (x, y) of blocks, bilinear; beyond its edge those of the edge."""
    return cv2.remap(field, where, None, mode, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def _fetch(field: np.ndarray, flow: np.ndarray) -> np.ndarray:
    return look_up(field, flow, cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP)
