"""Clips of one deformed glyph that moves: which glyph, which motion and how fast are three independent labels.

Single frames carry no information about motion or speed: place, size and brightness of the glyph have the same
distribution for every motion, in every frame. The glyph leaves the frame on one side and comes back on the other, and
its size runs through a cycle where it grows or shrinks. Every motion but shaking comes with its reverse, which the mean
absolute difference of neighboring frames cannot tell from it.
"""

from dataclasses import dataclass
from math import cos, exp, log, pi, sin

import cv2
import numpy as np

from vmae_zoo.datasets.synthetic import glyphs
from vmae_zoo.datasets.synthetic.glyphs import GLYPHS, draw_glyph
from vmae_zoo.datasets.synthetic.textures import draw_texture
from vmae_zoo.randomness import KeyedRNG

MOTIONS = (
    "down", "grow", "left", "orbit_anticlockwise", "orbit_clockwise", "right", "shake_horizontally",
    "shake_vertically", "shrink", "up",
)  # fmt: skip
SPEEDS = {"slow": (0.4, 0.6), "medium": (0.8, 1.1), "fast": (1.5, 2.0)}  # pixels per frame
LEVELS = ("black", "texture", "moving_camera", "occlusion")
SIDE = 32  # pixels of a frame
FRAMES = 24
_SMALLEST, _LARGEST = 0.26, 0.5  # scale of the glyph's 64-pixel mask: 9 to 17 pixels of glyph
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True)
class _Motion:
    """A motion with its parameters; column x and row y are those of the start, or of the center of the motion."""

    name: str
    speed: float  # pixels per frame of the glyph's center, twice that of its edge where it grows or shrinks
    x: float
    y: float
    size: float  # 0 to 1 on a logarithmic scale, at the start
    phase: float  # of orbits and shaking, in radians
    radius: float  # of orbits, in pixels; shaking has half of it to each side

    def pose(self, t: int) -> tuple[float, float, float]:
        """Column, row and scale of the glyph in frame ``t``."""
        x, y, size = self.x, self.y, self.size
        if self.name in _DIRECTIONS:
            across, down = _DIRECTIONS[self.name]
            x, y = x + across * self.speed * t, y + down * self.speed * t
        elif self.name.startswith("orbit"):
            sign = 1 if self.name == "orbit_clockwise" else -1
            angle = self.phase + sign * self.speed / self.radius * t
            x, y = x + self.radius * cos(angle), y + self.radius * sin(angle)
        elif self.name.startswith("shake"):
            amplitude = self.radius / 2
            swing = amplitude * sin(self.phase + pi / 2 * self.speed / amplitude * t)
            x, y = (x + swing, y) if self.name == "shake_horizontally" else (x, y + swing)
        else:
            sign = 1 if self.name == "grow" else -1
            size = (size + sign * self.speed / 2 / 6 / log(_LARGEST / _SMALLEST) * t) % 1
        return x, y, exp(log(_SMALLEST) + size * log(_LARGEST / _SMALLEST))


def make_clip(glyph: str, motion: str, speed: str, key: int, level: str = "black") -> np.ndarray:
    """Draw a clip: uint8 (FRAMES, SIDE, SIDE, 3).

    Args:
        glyph: one of `GLYPHS`.
        motion: one of `MOTIONS`.
        speed: one of `SPEEDS`.
        key: decides everything else: deformation, place, size, brightness, background.
        level: "black"; "texture", a textured background; "moving_camera", which drifts and takes the glyph along;
            "occlusion", the same with bars in front.
    """
    rng = KeyedRNG(key, "moving glyph")
    mask = draw_glyph(glyph, rng)
    path = _Motion(
        name=motion,
        speed=rng.uniform(*SPEEDS[speed]),
        x=rng.uniform(0, SIDE),
        y=rng.uniform(0, SIDE),
        size=rng.uniform(),
        phase=rng.uniform(0, 2 * pi),
        radius=rng.uniform(4, 6),
    )
    brightness = rng.uniform(150, 255)
    if level == "black":
        alphas = (_place(mask, *path.pose(t)) for t in range(FRAMES))
        return np.stack([np.repeat((alpha * brightness).round().astype(np.uint8)[..., None], 3, 2) for alpha in alphas])
    scene = _Scene.drawn(rng, level)
    return np.stack([scene.frame(t, mask, path.pose(t), brightness) for t in range(FRAMES)])


@dataclass(frozen=True)
class _Scene:
    """What is behind and in front of the glyph."""

    ground: np.ndarray  # float32 (SIDE, SIDE, 3), a texture that continues beyond its edges
    bars: list[tuple[np.ndarray, np.ndarray]]  # opaque textures in front, each with its alpha
    drift: tuple[float, float]  # of the camera, columns and rows per frame

    @classmethod
    def drawn(cls, rng: KeyedRNG, level: str) -> "_Scene":
        ground = 0.55 * draw_texture(rng, SIDE, SIDE, (16, 8, 4))
        heading = rng.uniform(0, 2 * pi)
        pace = rng.uniform(0.3, 0.8) if level in ("moving_camera", "occlusion") else 0.0
        bars = [_bar(rng) for _ in range(2)] if level == "occlusion" else []
        return cls(ground, bars, (pace * cos(heading), pace * sin(heading)))

    def frame(self, t: int, mask: np.ndarray, pose: tuple[float, float, float], brightness: float) -> np.ndarray:
        x, y, scale = pose
        right, down = self.drift[0] * t, self.drift[1] * t
        frame = _shifted(self.ground, right, down)
        alpha = _place(mask, x + right, y + down, scale)[..., None]
        frame = frame * (1 - alpha) + brightness * alpha
        for bar, cover in self.bars:
            moved = _shifted(cover, 1.5 * right, 1.5 * down)[..., None]
            frame = frame * (1 - moved) + bar * moved
        return frame.round().clip(0, 255).astype(np.uint8)


def _bar(rng: KeyedRNG) -> tuple[np.ndarray, np.ndarray]:
    """A vertical or horizontal bar, 3 to 5 pixels wide: texture and alpha."""
    alpha: np.ndarray = np.zeros((SIDE, SIDE), np.float32)
    start, width = rng.integer(0, SIDE), rng.integer(3, 6)
    alpha[:, np.arange(start, start + width) % SIDE] = 1
    return draw_texture(rng, SIDE, SIDE, (8, 4)), alpha.T.copy() if rng.integer(0, 2) else alpha


def _place(mask: np.ndarray, x: float, y: float, scale: float) -> np.ndarray:
    """The glyph's alpha in a frame that continues on the other side: float32 (SIDE, SIDE)."""
    middle = (glyphs.SIDE - 1) / 2
    left, top = x % SIDE + SIDE / 2 - scale * middle, y % SIDE + SIDE / 2 - scale * middle
    matrix = np.array([[scale, 0, left], [0, scale, top]])
    small = cv2.GaussianBlur(mask, (0, 0), 0.35 / scale)  # against aliasing
    wide = cv2.warpAffine(small, matrix, (2 * SIDE, 2 * SIDE), flags=cv2.INTER_LINEAR)
    return wide.reshape(2, SIDE, 2, SIDE).max((0, 2))


def _shifted(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """A picture moved by (x, y) pixels that continues beyond its edges."""
    matrix = np.array([[1, 0, x % SIDE], [0, 1, y % SIDE]])
    return cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


__all__ = ["FRAMES", "GLYPHS", "LEVELS", "MOTIONS", "SIDE", "SPEEDS", "make_clip"]
