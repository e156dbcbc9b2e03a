"""Scenes whose class is how things move, and only that.

Four textured blobs over a drifting textured background, strips passing in front; the blobs of a clip all move the way
of its class. Whatever a single frame shows (places, sizes, angles, textures, colours, occlusion) is drawn from the same
distribution for every class, for every frame: places are uniform on a torus larger than the frame, angles on the
circle, sizes on a logarithmic scale that growing and shrinking blobs run through cyclically. The camera drifts in a
random direction, whatever the class.
"""

from dataclasses import dataclass
from math import cos, exp, log, pi, sin

import cv2
import numpy as np

from vmae_zoo.randomness import Draws

CLASSES = (
    "grow", "move_down", "move_left", "move_right", "move_up",
    "shake_fast", "shake_slow", "shrink", "turn_anticlockwise", "turn_clockwise",
)  # fmt: skip
SIDE = 128  # pixels of a frame
FRAMES = 64
BLOBS = 4
_SPRITE = 64  # pixels of a blob's picture, before scaling
_MARGIN = 24  # how far outside the frame a blob turns up on the other side
_SMALLEST, _LARGEST = 9.0, 22.0  # radius in pixels


@dataclass
class _Blob:
    """A picture and its way: place in pixels, angle in radians, phase in the cycle of its class."""

    colour: np.ndarray  # float32 (sprite, sprite, 3), times alpha
    alpha: np.ndarray  # float32 (sprite, sprite, 1)
    x: float
    y: float
    angle: float
    size: float  # 0..1 on the logarithmic scale
    speed: float  # 0..1, slow to fast within the class
    phase: float  # radians


def frames_of(label: str, key: int) -> np.ndarray:
    """The clip of a class and a key: uint8 (FRAMES, SIDE, SIDE, 3)."""
    draws = Draws(key, "scene")
    ground = _texture(draws, 2 * SIDE, octaves=(4, 8, 32))
    blobs = [_blob(draws) for _ in range(BLOBS)]
    strips = [_strip(draws) for _ in range(draws.integer(1, 3))]
    heading, pace = draws.uniform(0, 2 * pi), draws.uniform(0, 0.6)
    drift = pace * cos(heading), pace * sin(heading)
    start = draws.uniform(0, SIDE), draws.uniform(0, SIDE)
    clip = np.empty((FRAMES, SIDE, SIDE, 3), np.uint8)
    for t in range(FRAMES):
        frame = _shifted(ground, start[0] - drift[0] * t, start[1] - drift[1] * t)
        for blob in blobs:
            _draw(frame, blob.colour, blob.alpha, _pose(label, blob, t, drift))
        for colour, alpha, angle, place in strips:
            along = (place + 1.5 * (drift[0] * cos(angle) + drift[1] * sin(angle)) * t) % (2 * SIDE) - SIDE / 2
            _draw(frame, colour, alpha, (along * cos(angle) + SIDE / 2, along * sin(angle) + SIDE / 2, angle, 1.0))
        clip[t] = np.clip(frame + 0.5, 0, 255)
    return clip


def _pose(label: str, blob: _Blob, t: int, drift: tuple[float, float]) -> tuple[float, float, float, float]:
    """Place in pixels, angle and scale of a blob in frame ``t``."""
    x, y, angle, size = blob.x + drift[0] * t, blob.y + drift[1] * t, blob.angle, blob.size
    if label.startswith("move"):
        way = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[label.removeprefix("move_")]
        pixels = (1.2 + 1.2 * blob.speed) * t
        x, y = x + way[0] * pixels, y + way[1] * pixels
    elif label.startswith("turn"):
        turned = (0.07 + 0.07 * blob.speed) * t
        angle += turned if label == "turn_clockwise" else -turned
    elif label.startswith("shake"):
        period = 32 + 12 * blob.speed if label == "shake_slow" else 9 + 3 * blob.speed
        swing = 9 * sin(2 * pi * t / period + blob.phase)
        x, y = x + swing * cos(4 * blob.phase), y + swing * sin(4 * blob.phase)
    else:
        cycle = t / (56 - 16 * blob.speed)
        size = (size + (cycle if label == "grow" else -cycle)) % 1
    wide = SIDE + 2 * _MARGIN
    radius = exp(log(_SMALLEST) + size * log(_LARGEST / _SMALLEST))
    return x % wide - _MARGIN, y % wide - _MARGIN, angle, radius / (_SPRITE / 2 - 4)


def _blob(draws: Draws) -> _Blob:
    rows, columns = np.mgrid[:_SPRITE, :_SPRITE] - (_SPRITE - 1) / 2
    around, radius = np.arctan2(rows, columns), np.hypot(rows, columns)
    edge = np.ones_like(around)
    for waves in (2, 3, 5):
        edge += draws.uniform(0, 0.14) * np.cos(waves * around + draws.uniform(0, 2 * pi))
    edge *= (_SPRITE / 2 - 4) / edge.max()
    alpha = np.clip(edge - radius + 0.5, 0, 1)[..., None].astype(np.float32)
    colour = _texture(draws, _SPRITE, octaves=(2, 4, 8)) * alpha
    wide = SIDE + 2 * _MARGIN
    return _Blob(
        colour, alpha, draws.uniform(0, wide), draws.uniform(0, wide), draws.uniform(0, 2 * pi),
        draws.uniform(), draws.uniform(), draws.uniform(0, 2 * pi),
    )  # fmt: skip


def _strip(draws: Draws) -> tuple[np.ndarray, np.ndarray, float, float]:
    """A bar across the frame: picture, alpha, angle of its normal, place along it."""
    width = draws.integer(6, 13)
    texture = _texture(draws, 256, octaves=(16, 64))
    alpha = np.ones((256, width, 1), np.float32)
    return texture[:, :width] * alpha, alpha, draws.uniform(0, 2 * pi), draws.uniform(0, 2 * SIDE)


def _texture(draws: Draws, side: int, octaves: tuple[int, ...]) -> np.ndarray:
    """Smooth noise between random colours: float32 (side, side, 3), 0..255, the same beyond its edges."""
    noise: np.ndarray = np.zeros((side, side), np.float32)
    for octave, cells in enumerate(octaves):
        grid = np.array([draws.uniform() for _ in range(cells * cells)], np.float32).reshape(cells, cells)
        wrapped = np.pad(grid, 2, mode="wrap")
        large = cv2.resize(wrapped, None, fx=side / cells, fy=side / cells, interpolation=cv2.INTER_LINEAR)
        edge = 2 * side // cells
        noise += large[edge : edge + side, edge : edge + side] / 1.6**octave
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    low, middle, high = (np.array([draws.uniform(15, 240) for _ in range(3)], np.float32) for _ in range(3))
    share = noise[..., None]
    return np.where(share < 0.5, low + 2 * share * (middle - low), middle + (2 * share - 1) * (high - middle))


def _shifted(ground: np.ndarray, x: float, y: float) -> np.ndarray:
    """The frame-sized part of a background that repeats, from (x, y) on."""
    matrix = np.array([[1, 0, -(x % len(ground))], [0, 1, -(y % len(ground))]])
    return cv2.warpAffine(ground, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _draw(frame: np.ndarray, colour: np.ndarray, alpha: np.ndarray, pose: tuple[float, float, float, float]) -> None:
    """Lay a picture over the frame, in place."""
    x, y, angle, scale = pose
    height, width = colour.shape[:2]
    reach = 0.5 * scale * (height**2 + width**2) ** 0.5 + 1
    left, right = max(int(x - reach), 0), min(int(x + reach) + 2, SIDE)
    top, bottom = max(int(y - reach), 0), min(int(y + reach) + 2, SIDE)
    if left >= right or top >= bottom:
        return
    cosine, sine = scale * cos(angle), scale * sin(angle)
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    matrix = np.array(
        [
            [cosine, -sine, x - left - cosine * middle_x + sine * middle_y],
            [sine, cosine, y - top - sine * middle_x - cosine * middle_y],
        ]
    )
    size = right - left, bottom - top
    above = cv2.warpAffine(colour, matrix, size, flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    part = frame[top:bottom, left:right]
    part *= 1 - cover
    part += above
