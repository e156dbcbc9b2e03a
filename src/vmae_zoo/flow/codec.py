"""Flow from the motion vectors that the codec stored: no search, the decoder hands them out.

A vector belongs to a block of 8 or 16 pixels and says where the encoder found something similar, which need not be
motion. A block's vector is taken to point into the I or P frame before its own (encoders may reach further back, and
FFmpeg does not tell). `vmae_zoo.video.motion_vectors` notes the vectors while a clip is decoded.

Shapes: h, w = blocks of 8 pixels along height and width; fields hold (x, y) in blocks.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

BLOCK = 8  # pixels; FFmpeg exports no smaller blocks


VECTOR = np.dtype(  # FFmpeg's AVMotionVector; (x, y) as one number, which moves faster
    {
        "names": ["source", "w", "h", "dst_x", "dst_y", "motion", "motion_scale"],
        "formats": ["i4", "u1", "u1", "i2", "i2", "i8", "u2"],
        "offsets": [0, 4, 5, 10, 12, 24, 32],
        "itemsize": 40,
    }
)


def block_fields(vectors: Sequence[bytes], height: int, width: int) -> np.ndarray:
    """Where the blocks of some frames came from.

    Args:
        vectors: of each frame, one `VECTOR` after the other, at least one.
        height: of a frame in pixels.
        width: of a frame in pixels.

    Returns:
        float32 (frames, h, w, 2), 0 where a block has no vector.
    """
    rows, columns = (2 * -(-side // (2 * BLOCK)) for side in (height, width))  # of whole macroblocks
    moves = np.zeros(len(vectors) * rows * columns, np.int64)
    counts = [len(part) // VECTOR.itemsize for part in vectors]
    first = np.repeat(np.arange(len(vectors)) * (rows * columns), counts)
    found = np.frombuffer(b"".join(vectors), VECTOR)
    high, wide = found["h"].astype(np.int32), found["w"].astype(np.int32)
    top, left = (found["dst_y"] - (high >> 1)) >> 3, (found["dst_x"] - (wide >> 1)) >> 3
    good = (found["source"] < 0) & (top >= 0) & (left >= 0) & (top + (high >> 3) <= rows)
    good &= left + (wide >> 3) <= columns
    place, move, right, down = (
        (first + top * columns + left)[good],
        found["motion"][good],
        wide[good] > 8,
        high[good] > 8,
    )
    moves[place] = move
    for larger, step in ((right, 1), (down, columns), (right & down, columns + 1)):
        moves[place[larger] + step] = move[larger]
    fields = moves.view(np.int32).reshape(-1, rows, columns, 2)[:, : -(-height // BLOCK), : -(-width // BLOCK)]
    scales = BLOCK * found["motion_scale"][np.cumsum(counts) - 1].astype(np.float32)  # the same for all of a frame
    return fields.astype(np.float32, order="C") / scales[:, None, None, None]


def between(step: Callable[[int], np.ndarray], here: int, there: int) -> np.ndarray:
    """Flow from frame ``here`` to ``there``: the steps between, each looked up where the last one led.

    Args:
        step: float32 (h, w, 2), flow from the frame at a position to the one before it.
        here: position of the frame whose blocks are followed.
        there: position of the frame they are followed to.
    """
    positions = range(here, there, -1) if here >= there else range(here + 1, there + 1)
    total = None
    for position in positions:
        move = step(position) if here >= there else ahead(step(position))
        total = move if total is None else total + _fetch(move, total)
    return np.zeros_like(step(here)) if total is None else total


def ahead(back: np.ndarray) -> np.ndarray:
    """Flow to a frame from the one before it, of the flow back: the step back from where it leads, not from here."""
    forward = -back
    for _ in range(2):
        forward = -_fetch(back, forward)
    return forward


def look_up(field: np.ndarray, where: np.ndarray, mode: int = cv2.INTER_LINEAR) -> np.ndarray:
    """A field's values at these (x, y) of blocks, bilinear; beyond its edge those of the edge."""
    return cv2.remap(field, where, None, mode, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def _fetch(field: np.ndarray, flow: np.ndarray) -> np.ndarray:
    return look_up(field, flow, cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP)
