"""Geometry of clips: crops, resizes and flips of uint8 (T, H, W, 3) arrays, the same for every frame of a clip.

Multi-scale crop is that of Wang et al. ("Temporal Segment Networks", ECCV 2016, arXiv 1608.00859), as VideoMAE
pre-trains with it (Tong et al., NeurIPS 2022, arXiv 2203.12602); random resized crop is that of Szegedy et al. ("Going
Deeper with Convolutions", CVPR 2015, arXiv 1409.4842). Every random choice comes from the `KeyedRNG` given.

Resizes go through torch's uint8 kernel: with anti-aliasing it equals Pillow's bilinear within one level of 255 (the
official programs crop and resize Pillow images) in a quarter of its time or less; OpenCV's linear has no anti-aliasing
and its area mode takes longer.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate

from vmae_zoo.randomness import KeyedRNG

Box = tuple[int, int, int, int]  # top, left, height, width in pixels


def crop_and_resize(clip: np.ndarray, box: Box, size: int, flip: bool = False) -> np.ndarray:
    """The same box of every frame, resized to ``size`` x ``size`` and mirrored if ``flip`` is set."""
    part = resize(crop(clip, *box), size, size)
    return np.ascontiguousarray(part[:, :, ::-1]) if flip else part


def resize(clip: np.ndarray, height: int, width: int, antialias: bool = True) -> np.ndarray:
    """Resize bilinearly to ``height`` x ``width`` pixels; ``antialias=False`` is what the official fine-tuning does."""
    if clip.shape[1:3] == (height, width):
        return np.ascontiguousarray(clip)
    if any(step < 0 for step in clip.strides):  # a flipped or rotated view, which torch does not take
        clip = np.ascontiguousarray(clip)
    pixels_TCHW = torch.from_numpy(clip).permute(0, 3, 1, 2)
    resized_TCHW = interpolate(pixels_TCHW, (height, width), mode="bilinear", antialias=antialias)
    return resized_TCHW.permute(0, 2, 3, 1).contiguous().numpy()


def crop(clip: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A view of the clip's box; ``ValueError`` where it leaves the frame."""
    rows, columns = clip.shape[1:3]
    if min(top, left) < 0 or min(height, width) < 1 or top + height > rows or left + width > columns:
        raise ValueError(
            f"a crop of {height} x {width} pixels at ({top}, {left}) leaves the frame of {rows} x {columns}"
        )
    return clip[:, top : top + height, left : left + width]


def multi_scale_sizes(
    height: int, width: int, size: int, scales: Sequence[float] = (1, 0.875, 0.75, 0.66)
) -> list[int]:
    """Sides that `multi_scale_crop` chooses from: shares of the shorter side, or ``size`` if within 2 pixels of it."""
    sides = [max(int(min(height, width) * scale), 1) for scale in scales]
    return [size if abs(side - size) < 3 and size <= min(height, width) else side for side in sides]


def multi_scale_crop(
    clip: np.ndarray, size: int, draws: KeyedRNG, scales: Sequence[float] = (1, 0.875, 0.75, 0.66)
) -> np.ndarray:
    """Crop to a `multi_scale_box`, then resize to ``size`` x ``size``."""
    return resize(crop(clip, *multi_scale_box(clip.shape[1:3], size, draws, scales)), size, size)


def multi_scale_box(frame: Sequence[int], size: int, draws: KeyedRNG, scales: Sequence[float]) -> Box:
    """A box of one of several sizes at one of 13 places of a frame of so many rows and columns.

    Height and width are neighbours at most in the list of `multi_scale_sizes` (10 pairs of 4 scales). The places are
    the corners, the centre, the middles of the edges and the centres of the quarters.
    """
    rows, columns = frame
    sides = multi_scale_sizes(rows, columns, size, scales)
    pairs = [(high, wide) for i, high in enumerate(sides) for j, wide in enumerate(sides) if abs(i - j) <= 1]
    height, width = draws.choice(pairs)
    down, right = draws.choice(_PLACES)
    return down * ((rows - height) // 4), right * ((columns - width) // 4), height, width


# steps down and right, each a quarter of the room that the crop leaves
_PLACES = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3)]


def random_resized_crop(
    clip: np.ndarray,
    size: int,
    draws: KeyedRNG,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    antialias: bool = True,
) -> np.ndarray:
    """Crop to a `random_box`, then resize to ``size`` x ``size``; for ``antialias`` see `resize`."""
    return resize(crop(clip, *random_box(clip.shape[1:3], draws, scale, ratio)), size, size, antialias)


def random_box(
    frame: Sequence[int],
    draws: KeyedRNG,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Box:
    """A box of a random share of the frame and a random aspect ratio.

    Args:
        frame: its rows and columns.
        draws: source of the random numbers.
        scale: lowest and highest share of the frame's area.
        ratio: lowest and highest width / height, drawn log-uniformly. After 10 boxes that do not fit, the largest
            centred box within the ratio.
    """
    rows, columns = frame
    for _ in range(10):
        area = rows * columns * draws.uniform(*scale)
        aspect = math.exp(draws.uniform(math.log(ratio[0]), math.log(ratio[1])))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= columns and 0 < height <= rows:
            return draws.integer(0, rows - height + 1), draws.integer(0, columns - width + 1), height, width
    width = min(columns, max(round(rows * ratio[1]), 1))
    height = min(rows, max(round(columns / ratio[0]), 1))
    return (rows - height) // 2, (columns - width) // 2, height, width


def short_side_scale(clip: np.ndarray, size: int, antialias: bool = True) -> np.ndarray:
    """Resize so that the shorter side has ``size`` pixels; the longer one follows, rounded down."""
    rows, columns = clip.shape[1:3]
    short = min(rows, columns)
    return resize(clip, rows * size // short, columns * size // short, antialias)


def centre_crop(clip: np.ndarray, size: int) -> np.ndarray:
    """The `centre_box`; ``ValueError`` for a smaller frame."""
    return np.ascontiguousarray(crop(clip, *centre_box(clip.shape[1:3], size)))


def centre_box(frame: Sequence[int], size: int) -> Box:
    """The centred ``size`` x ``size`` box of a frame of so many rows and columns, offsets rounded half to even."""
    rows, columns = frame
    return round((rows - size) / 2), round((columns - size) / 2), size, size


def crop_view(clip: np.ndarray, size: int, view: int, views: int = 3) -> np.ndarray:
    """One of ``views`` square test crops, spread along the longer side from end to end; a single view is the centre.

    Args:
        clip: uint8 (T, H, W, 3), the shorter side ``size`` pixels (`short_side_scale` first).
        size: side of the crop in pixels.
        view: which one, 0 to views - 1.
        views: 3 in the papers.
    """
    if not 0 <= view < views:
        raise ValueError(f"view {view} is not one of the {views} from 0 to {views - 1}")
    if views == 1:
        return centre_crop(clip, size)
    rows, columns = clip.shape[1:3]
    room = max(rows, columns) - size
    start = int(view * (room / (views - 1)))
    top, left = (start, 0) if rows >= columns else (0, start)
    return np.ascontiguousarray(crop(clip, top, left, size, size))


def horizontal_flip(clip: np.ndarray, draws: KeyedRNG, probability: float = 0.5) -> np.ndarray:
    """Mirror the clip with this probability."""
    return np.ascontiguousarray(clip[:, :, ::-1]) if mirrored(draws, probability) else clip


def mirrored(draws: KeyedRNG, probability: float = 0.5) -> bool:
    """Whether to mirror a clip."""
    return draws.uniform() < probability
