"""Flow from the motion vectors that the codec stored: no search, the decoder hands them out.

A vector belongs to a block of 8 or 16 pixels and says where the encoder found something similar, which need not be
motion. What is assumed: a P frame's blocks come from the I or P frame before it (encoders may reach further back, and
FFmpeg does not tell); motion between the two is even, so B frames need no vectors of their own (FFmpeg has none for the
direct blocks of MPEG-4); blocks without a vector stand still, and I frames go on as the frame before them.

It reads the file at its native size, so it is not an estimator of cropped clips like the others of this room: ``box``
and ``size`` say how a clip was cropped.

Shapes: P pairs; h, w = blocks of 8 pixels along height and width.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import PictureType

BLOCK = 8  # pixels; FFmpeg exports no smaller blocks


def codec_flow(
    path: str | Path,
    frame_ids: Sequence[int] | np.ndarray,
    pairs: np.ndarray,
    box: tuple[int, int, int, int] | None = None,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Flow between frames of a video file, added up over the frames that lie between them.

    Args:
        path: the video file.
        frame_ids: 0-based positions in presentation order, as `vmae_zoo.data.read_clip` takes them.
        pairs: int64 (P, 2), places in ``frame_ids``: from which frame to which.
        box: (top, left, height, width) in pixels that the clip was cropped to; None: the whole frame.
        size: rows and columns of the result; None: one per block.

    Returns:
        float32 (P, rows, columns, 2): x and y in pixels of its own size.

    Raises:
        IndexError: a position past the end.
    """
    ids = np.asarray(frame_ids)
    steps, (height, width) = motion_vectors(path, int(ids.max()))
    top, left, box_height, box_width = box or (0, 0, height, width)
    rows, columns = size or (max(box_height // BLOCK, 1), max(box_width // BLOCK, 1))
    x = (left + (np.arange(columns) + 0.5) * box_width / columns) / BLOCK - 0.5  # of pixel centres, in blocks
    y = (top + (np.arange(rows) + 0.5) * box_height / rows) / BLOCK - 0.5
    x_wanted, y_wanted = (grid.astype(np.float32) for grid in np.meshgrid(x, y))
    scale = BLOCK * np.array([columns / box_width, rows / box_height], np.float32)
    flows = (_between(steps, int(ids[here]), int(ids[there])) for here, there in pairs)
    return np.stack(
        [cv2.remap(f, x_wanted, y_wanted, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) * scale for f in flows]
    )


def motion_vectors(path: str | Path, last: int) -> tuple[list[np.ndarray], tuple[int, int]]:
    """Flow from each frame to the one before it, and the size of a frame in pixels.

    Returns:
        float32 (h, w, 2) in blocks for each of the frames 0 to ``last`` (and maybe some more); (height, width) as
        displayed.
    """
    steps: list[np.ndarray] = []
    position, height, width, turns = -1, 0, 0, 0
    with av.open(f"file:{os.fspath(path)}", metadata_errors="replace") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"flags2": "+export_mvs"}
        for position, frame in enumerate(container.decode(stream)):
            height, width, turns = frame.height, frame.width, frame.rotation // 90 % 4
            if frame.pict_type == PictureType.B:
                continue  # its motion is that of the next I or P frame
            vectors = frame.side_data.get("MOTION_VECTORS")
            since = position + 1 - len(steps)  # frames that share it
            if vectors is not None:
                step = _turned(_by_block(vectors.to_ndarray(), height, width), turns) / since
            else:
                step = steps[-1] if steps else np.zeros((-(-height // BLOCK), -(-width // BLOCK), 2), np.float32)
            steps += [step] * since
            if position >= last:
                break
    if position < last:
        raise IndexError(f"frame {last} is past the end of {path}, which has {position + 1} frames")
    steps += steps[-1:] * (last + 1 - len(steps))  # B frames may close a file
    return steps, (width, height) if turns % 2 else (height, width)


def _by_block(vectors: np.ndarray, height: int, width: int) -> np.ndarray:
    """FFmpeg's list of vectors as a field: float32 (h, w, 2) in blocks, 0 where there is none."""
    field = np.zeros((-(-height // BLOCK), -(-width // BLOCK), 2), np.float32)
    vectors = vectors[vectors["source"] < 0]
    moves = np.stack([vectors["motion_x"], vectors["motion_y"]], 1) / (BLOCK * vectors["motion_scale"][:, None])
    for high, wide in ((8, 8), (8, 16), (16, 8), (16, 16)):
        chosen = (vectors["h"] == high) & (vectors["w"] == wide)
        top = (vectors["dst_y"][chosen] - high // 2) // BLOCK
        left = (vectors["dst_x"][chosen] - wide // 2) // BLOCK
        for down in range(high // BLOCK):
            for right in range(wide // BLOCK):
                rows, columns = top + down, left + right
                inside = (rows >= 0) & (columns >= 0) & (rows < field.shape[0]) & (columns < field.shape[1])
                field[rows[inside], columns[inside]] = moves[chosen][inside]
    return field


def _turned(field: np.ndarray, turns: int) -> np.ndarray:
    """The field rotated counterclockwise by quarter turns, as the frames are for display."""
    for _ in range(turns):
        field = np.rot90(np.stack([field[..., 1], -field[..., 0]], axis=-1))
    return np.ascontiguousarray(field, np.float32)


def _between(steps: list[np.ndarray], here: int, there: int) -> np.ndarray:
    """Flow from frame ``here`` to ``there``, in blocks: the steps between, each looked up where the last one led."""
    total = np.zeros_like(steps[0])
    if here >= there:
        for position in range(here, there, -1):
            total = total + _fetch(steps[position], total)
        return total
    for position in range(here + 1, there + 1):
        forward = -steps[position]
        for _ in range(2):  # the step back from where it leads, not from here
            forward = -_fetch(steps[position], forward)
        total = total + _fetch(forward, total)
    return total


def _fetch(field: np.ndarray, flow: np.ndarray) -> np.ndarray:
    mode = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP
    return cv2.remap(field, flow, None, mode, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
