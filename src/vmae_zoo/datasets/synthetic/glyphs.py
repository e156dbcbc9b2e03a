"""Deformed letters and digits, drawn with OpenCV's Hershey fonts."""

import cv2
import numpy as np

from vmae_zoo.randomness import KeyedRNG

GLYPHS = ("2", "4", "7", "A", "E", "K", "P", "R", "S", "X")
SIDE = 64  # pixels of a glyph's mask
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


def draw_glyph(glyph: str, rng: KeyedRNG) -> np.ndarray:
    """The mask of a glyph with its own font, pen, shear, rotation and bends: float32 (SIDE, SIDE), 0 to 1."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    font, pen = rng.choice(_FONTS), rng.integer(3, 7)
    (width, height), _ = cv2.getTextSize(glyph, font, 1.0, pen)
    scale = 34 / max(width, height)
    (width, height), _ = cv2.getTextSize(glyph, font, scale, pen)
    origin = ((SIDE - width) // 2, (SIDE + height) // 2)
    cv2.putText(canvas, glyph, origin, font, scale, 255, pen, cv2.LINE_AA)
    return cv2.remap(canvas, *_deformation(rng), cv2.INTER_LINEAR).astype(np.float32) / 255


def _deformation(rng: KeyedRNG) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the deformed mask comes from: columns and rows, float32 (SIDE, SIDE).

    A rotation by up to 25 degrees, a stretch of 0.8 to 1.25 along each axis, a shear of up to 0.3, and two sine waves
    along each axis that move pixels by up to 4.
    """
    rows, columns = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2).astype(np.float32)
    angle, shear = np.radians(rng.uniform(-25, 25)), rng.uniform(-0.3, 0.3)
    stretch_x, stretch_y = 1.25 ** rng.uniform(-1, 1), 1.25 ** rng.uniform(-1, 1)
    x = (columns * np.cos(angle) + rows * np.sin(angle) + shear * rows) * stretch_x
    y = (rows * np.cos(angle) - columns * np.sin(angle)) * stretch_y
    waves = [(rng.uniform(0, 4), rng.uniform(0.6, 1.4), rng.uniform(0, 2 * np.pi)) for _ in range(2)]
    (height_x, cycles_x, phase_x), (height_y, cycles_y, phase_y) = waves
    x += height_x * np.sin(2 * np.pi * cycles_x * rows / SIDE + phase_x)
    y += height_y * np.sin(2 * np.pi * cycles_y * columns / SIDE + phase_y)
    return (x + (SIDE - 1) / 2).astype(np.float32), (y + (SIDE - 1) / 2).astype(np.float32)
