"""RandAugment for clips (Cubuk, Zoph, Shlens, Le, NeurIPS 2020, arXiv 1909.13719), as used for fine-tuning VideoMAE.

The fifteen "increasing" operations of timm's ``rand-m7-n4-mstd0.5-inc1`` on uint8 (T, H, W, 3) clips: every frame of a
clip gets the same operations at the same strength, chosen by the clip's key. Color operations equal Pillow's.
Geometric operations use OpenCV's bicubic, which differs from Pillow's by a few levels at edges and takes about a third
of its time.
"""

from collections.abc import Callable

import cv2
import numpy as np

from vmae_zoo.randomness import KeyedRNG

GRAY = 128  # value of pixels from outside the frame


def rand_augment(clip: np.ndarray, rng: KeyedRNG, operations: int = 4) -> np.ndarray:
    """Apply random operations, chosen with replacement (4 in VideoMAE, 2 in space-time MAE), each with probability 0.5.

    The strength, from 0 to 10, has a mean of 7 and a standard deviation of 0.5. ``clip`` is uint8 (T, H, W, 3).
    """
    for _ in range(operations):
        name = rng.choice(tuple(OPERATIONS))
        applied = rng.uniform() < 0.5
        level = min(max(7.0 + 0.5 * rng.normal(), 0.0), 10.0)
        sign = rng.choice((-1, 1))
        if applied:
            clip = OPERATIONS[name](clip, level, sign)
    return clip


def _by_table(clip: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Map each value by one table for the whole clip."""
    return cv2.LUT(clip.reshape(-1, clip.shape[2]), table).reshape(clip.shape)


def _by_tables(clip: np.ndarray, table_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Map each value by a table per frame and channel, made from its histogram."""
    out = np.empty_like(clip)
    for frame, new in zip(clip, out, strict=True):
        counts = [cv2.calcHist([frame], [c], None, [256], [0, 256]).ravel().astype(np.int64) for c in range(3)]
        cv2.LUT(frame, np.stack([table_of(count) for count in counts], axis=1)[None], dst=new)
    return out


def _blend(start: np.ndarray | float, end: np.ndarray, factor: float) -> np.ndarray:
    """``start + factor * (end - start)`` rounded toward zero, as in Pillow."""
    start = np.asarray(start, np.float32)
    return np.clip(start + np.float32(factor) * (end.astype(np.float32) - start), 0, 255).astype(np.uint8)


_VALUES = np.arange(256, dtype=np.uint8)


def _factor(level: float, sign: int) -> float:
    """Enhancement factor: 1 is the identity; strength 10 gives 0.1 or 1.9."""
    return max(0.1, 1.0 + sign * level * 0.09)


def _gray(frame: np.ndarray) -> np.ndarray:
    """Luma (H, W), ITU-R 601 in Pillow's integers."""
    red, green, blue = (frame[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def _auto_contrast(clip: np.ndarray, level: float, sign: int) -> np.ndarray:
    def table(counts: np.ndarray) -> np.ndarray:
        used = np.flatnonzero(counts)
        low, high = int(used[0]), int(used[-1])
        if high <= low:
            return _VALUES
        scale = 255.0 / (high - low)
        return np.clip((np.arange(256) * scale - low * scale).astype(np.int64), 0, 255).astype(np.uint8)

    return _by_tables(clip, table)


def _equalize(clip: np.ndarray, level: float, sign: int) -> np.ndarray:
    def table(counts: np.ndarray) -> np.ndarray:
        used = counts[counts > 0]
        step = int(used.sum() - used[-1]) // 255
        if len(used) < 2 or step == 0:
            return _VALUES
        return np.minimum((step // 2 + np.cumsum(counts) - counts) // step, 255).astype(np.uint8)

    return _by_tables(clip, table)


def _contrast(clip: np.ndarray, level: float, sign: int) -> np.ndarray:
    tables = [_blend(int(_gray(frame).mean() + 0.5), _VALUES, _factor(level, sign)) for frame in clip]
    return np.stack([cv2.LUT(frame, table) for frame, table in zip(clip, tables, strict=True)])


def _color(clip: np.ndarray, level: float, sign: int) -> np.ndarray:
    return np.stack([_blend(_gray(frame)[..., None], frame, _factor(level, sign)) for frame in clip])


_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def _sharpness(clip: np.ndarray, level: float, sign: int) -> np.ndarray:
    out = clip.copy()  # Pillow keeps the border
    for frame, new in zip(clip, out, strict=True):
        smooth = (cv2.filter2D(frame, cv2.CV_32F, _SMOOTH)[1:-1, 1:-1] + 0.5).astype(np.uint8)
        new[1:-1, 1:-1] = _blend(smooth, frame[1:-1, 1:-1], _factor(level, sign))
    return out


def _warp(clip: np.ndarray, matrix: list[list[float]]) -> np.ndarray:
    """Sample each pixel at the position the matrix maps it to; pixel centers have half-integer coordinates."""
    (a, b, c), (d, e, f) = matrix
    centered = np.array([[a, b, c + (a + b - 1) / 2], [d, e, f + (d + e - 1) / 2]])
    flags, out = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, np.empty_like(clip)
    for frame, new in zip(clip, out, strict=True):
        cv2.warpAffine(frame, centered, frame.shape[1::-1], new, flags, cv2.BORDER_CONSTANT, (GRAY, GRAY, GRAY))
    return out


def _rotate(clip: np.ndarray, level: float, sign: int) -> np.ndarray:
    height, width = clip.shape[1:3]
    angle = np.deg2rad(sign * 3.0 * level)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    x, y = width / 2, height / 2
    return _warp(clip, [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


def _solarize(clip: np.ndarray, level: float, sign: int) -> np.ndarray:
    threshold = 256 - min(256, int(level * 25.6))
    return _by_table(clip, np.where(np.arange(256) < threshold, _VALUES, 255 - _VALUES))


def _solarize_add(clip: np.ndarray, level: float, sign: int) -> np.ndarray:
    brighter = np.minimum(np.arange(256) + int(level * 11), 255)
    return _by_table(clip, np.where(np.arange(256) < 128, brighter, _VALUES).astype(np.uint8))


OPERATIONS: dict[str, Callable[[np.ndarray, float, int], np.ndarray]] = {  # (clip, strength 0 to 10, sign) -> clip
    "AutoContrast": _auto_contrast,
    "Equalize": _equalize,
    "Invert": lambda clip, level, sign: 255 - clip,
    "Rotate": _rotate,
    "PosterizeIncreasing": lambda clip, level, sign: clip & np.uint8(255 ^ (255 >> 4 - int(level * 0.4))),
    "SolarizeIncreasing": _solarize,
    "SolarizeAdd": _solarize_add,
    "ColorIncreasing": _color,
    "ContrastIncreasing": _contrast,
    "BrightnessIncreasing": lambda clip, level, sign: _by_table(clip, _blend(0.0, _VALUES, _factor(level, sign))),
    "SharpnessIncreasing": _sharpness,
    "ShearX": lambda clip, level, sign: _warp(clip, [[1, sign * 0.03 * level, 0], [0, 1, 0]]),
    "ShearY": lambda clip, level, sign: _warp(clip, [[1, 0, 0], [sign * 0.03 * level, 1, 0]]),
    "TranslateXRel": lambda clip, level, sign: _warp(clip, [[1, 0, sign * 0.045 * level * clip.shape[2]], [0, 1, 0]]),
    "TranslateYRel": lambda clip, level, sign: _warp(clip, [[1, 0, 0], [0, 1, sign * 0.045 * level * clip.shape[1]]]),
}
