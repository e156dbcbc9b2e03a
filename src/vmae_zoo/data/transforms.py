"""Crops, resizes and flips of uint8 (T, H, W, 3) clips, the same for every frame of a clip.

The multi-scale crop is that of Wang et al. ("Temporal Segment Networks", ECCV 2016, arXiv 1608.00859), with which
VideoMAE pre-trains (Tong et al., NeurIPS 2022, arXiv 2203.12602); the random resized crop that of Szegedy et al.
("Going Deeper with Convolutions", CVPR 2015, arXiv 1409.4842). Random numbers come from a `KeyedRNG`.

Resizing uses torch's uint8 kernel: with anti-aliasing it equals Pillow's bilinear (the official programs resize Pillow
images) within one level of 255, in a quarter of the time or less. OpenCV's linear mode has no anti-aliasing, and its
area mode is slower.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate

from vmae_zoo.randomness import KeyedRNG

Box = tuple[int, int, int, int]  # top, left, height, width in pixels


def crop_and_resize(clip: np.ndarray, box: Box, size: int, flip: bool = False) -> np.ndarray:
    """Crop a box, resize it to ``size`` x ``size``, and mirror it if ``flip`` is set."""
    part = resize(crop(clip, *box), size, size)
    return np.ascontiguousarray(part[:, :, ::-1]) if flip else part


def resize(clip: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize bilinearly, with anti-aliasing, to ``height`` x ``width`` pixels."""
    if clip.shape[1:3] == (height, width):
        return np.ascontiguousarray(clip)
    if any(step < 0 for step in clip.strides):  # torch takes no negative strides, which flips and rotations have
        clip = np.ascontiguousarray(clip)
    pixels_TCHW = torch.from_numpy(clip).permute(0, 3, 1, 2)
    resized_TCHW = interpolate(pixels_TCHW, (height, width), mode="bilinear", antialias=True)
    return resized_TCHW.permute(0, 2, 3, 1).contiguous().numpy()


def crop(clip: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A view of a box of the clip; ``ValueError`` if it extends beyond the frame."""
    rows, columns = clip.shape[1:3]
    if min(top, left) < 0 or min(height, width) < 1 or top + height > rows or left + width > columns:
        raise ValueError(
            f"a crop of {height} x {width} pixels at ({top}, {left}) extends beyond the frame of {rows} x {columns}"
        )
    return clip[:, top : top + height, left : left + width]


def multi_scale_sizes(
    height: int, width: int, size: int, scales: Sequence[float] = (1, 0.875, 0.75, 0.66)
) -> list[int]:
    """Sides for `multi_scale_box`: fractions of the shorter side, or ``size`` if within 2 pixels of it."""
    sides = [max(int(min(height, width) * scale), 1) for scale in scales]
    return [size if abs(side - size) < 3 and size <= min(height, width) else side for side in sides]


def multi_scale_box(frame: Sequence[int], size: int, rng: KeyedRNG, scales: Sequence[float]) -> Box:
    """A box of one of several sizes at one of 13 positions.

    Height and width are equal or adjacent in the list of `multi_scale_sizes` (10 pairs for 4 scales). The positions are
    the corners, the center, the centers of the edges and the centers of the quarters.
    """
    rows, columns = frame
    sides = multi_scale_sizes(rows, columns, size, scales)
    pairs = [(high, wide) for i, high in enumerate(sides) for j, wide in enumerate(sides) if abs(i - j) <= 1]
    height, width = rng.choice(pairs)
    down, right = rng.choice(_POSITIONS)
    return down * ((rows - height) // 4), right * ((columns - width) // 4), height, width


# steps down and right, each a quarter of the space around the crop
_POSITIONS = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3)]


def random_box(
    frame: Sequence[int],
    rng: KeyedRNG,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Box:
    """A box of a random fraction of the frame and a random aspect ratio: the random resized crop.

    ``scale`` is a range of fractions of the frame's area; ``ratio``, width / height, is log-uniform. After 10 boxes
    that do not fit: the largest centered box within the ratio.
    """
    rows, columns = frame
    for _ in range(10):
        area = rows * columns * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= columns and 0 < height <= rows:
            return rng.integer(0, rows - height + 1), rng.integer(0, columns - width + 1), height, width
    width = min(columns, max(round(rows * ratio[1]), 1))
    height = min(rows, max(round(columns / ratio[0]), 1))
    return (rows - height) // 2, (columns - width) // 2, height, width


def center_box(frame: Sequence[int], size: int) -> Box:
    """The centered ``size`` x ``size`` box of a frame with these rows and columns, offsets rounded half to even."""
    rows, columns = frame
    return round((rows - size) / 2), round((columns - size) / 2), size, size


def center_crop(clip: np.ndarray, size: int) -> np.ndarray:
    """The `center_box` of a clip; ``ValueError`` if the frame is smaller."""
    return np.ascontiguousarray(crop(clip, *center_box(clip.shape[1:3], size)))


def crop_view(clip: np.ndarray, size: int, view: int, views: int = 3) -> np.ndarray:
    """One of ``views`` square test crops, spread along the longer side from end to end; a single view is the center.

    ``clip`` is uint8 (T, H, W, 3) with ``size`` pixels on the shorter side.
    """
    if views == 1:
        return center_crop(clip, size)
    rows, columns = clip.shape[1:3]
    start = int(view * ((max(rows, columns) - size) / (views - 1)))
    top, left = (start, 0) if rows >= columns else (0, start)
    return np.ascontiguousarray(crop(clip, top, left, size, size))


def random_flip(rng: KeyedRNG) -> bool:
    """True with probability 0.5."""
    return rng.uniform() < 0.5
