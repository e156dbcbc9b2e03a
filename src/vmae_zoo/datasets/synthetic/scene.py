"""Scenes whose class is a motion, which no single frame shows.

Four textured blobs move over a drifting background, behind strips that pass in front; all blobs of a clip have the
motion of its class. Positions, sizes, angles, textures, colors and occlusion have the same distribution for every class
in every frame: positions are uniform on a torus larger than the frame, angles on the circle, and sizes on a logarithmic
scale that growing and shrinking blobs run through cyclically. The camera drifts in a random direction.
"""

from dataclasses import dataclass
from math import cos, exp, log, pi, sin

import cv2
import numpy as np

from vmae_zoo.datasets.synthetic.textures import draw_texture
from vmae_zoo.randomness import KeyedRNG

CLASSES = (
    "grow", "move_down", "move_left", "move_right", "move_up",
    "shake_fast", "shake_slow", "shrink", "turn_anticlockwise", "turn_clockwise",
)  # fmt: skip
SIDE = 128  # pixels of a frame
FRAMES = 48
BLOBS = 4
_SPRITE = 64  # pixels of a blob's picture, before scaling
_MARGIN = 30  # pixels outside the frame after which a blob reappears on the other side
_WIDE = SIDE + 2 * _MARGIN
_SMALLEST, _LARGEST = 11.0, 27.0  # radius in pixels


@dataclass
class _Blob:
    """A picture and its motion: position in pixels, angle in radians, phase in the cycle of its class."""

    picture: np.ndarray
    x: float
    y: float
    angle: float
    size: float  # 0..1 on the logarithmic scale
    speed: float  # 0..1, slow to fast within the class
    phase: float  # radians


def frames_of(label: str, key: int) -> np.ndarray:
    """The clip of a class and a key: uint8 (FRAMES, SIDE, SIDE, 3)."""
    rng = KeyedRNG(key, "scene")
    ground = draw_texture(rng, 2 * SIDE, 2 * SIDE, (64, 32, 8))
    blobs = [_blob(rng) for _ in range(BLOBS)]
    strips = [_strip(rng) for _ in range(rng.integer(1, 3))]
    heading, pace = rng.uniform(0, 2 * pi), rng.uniform(0, 0.6)
    drift = pace * cos(heading), pace * sin(heading)
    start = rng.uniform(0, SIDE), rng.uniform(0, SIDE)
    clip = np.empty((FRAMES, SIDE, SIDE, 3), np.uint8)
    for t in range(FRAMES):
        frame = _shifted(ground, start[0] - drift[0] * t, start[1] - drift[1] * t)
        for blob in blobs:
            _draw(frame, blob.picture, _pose(label, blob, t, drift))
        for picture, angle, place in strips:
            along = (place + 1.5 * (drift[0] * cos(angle) + drift[1] * sin(angle)) * t) % (2 * SIDE) - SIDE / 2
            _draw(frame, picture, (along * cos(angle) + SIDE / 2, along * sin(angle) + SIDE / 2, angle, 1.0))
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
    radius = exp(log(_SMALLEST) + size * log(_LARGEST / _SMALLEST))
    return x % _WIDE - _MARGIN, y % _WIDE - _MARGIN, angle, radius / (_SPRITE / 2 - 4)


def _blob(rng: KeyedRNG) -> _Blob:
    rows, columns = np.mgrid[:_SPRITE, :_SPRITE] - (_SPRITE - 1) / 2
    around, radius = np.arctan2(rows, columns), np.hypot(rows, columns)
    edge = np.ones_like(around)
    for waves in (2, 3, 5):
        edge += rng.uniform(0, 0.14) * np.cos(waves * around + rng.uniform(0, 2 * pi))
    edge *= (_SPRITE / 2 - 4) / edge.max()
    picture = _picture(draw_texture(rng, _SPRITE, _SPRITE, (32, 16, 8)), np.clip(edge - radius + 0.5, 0, 1))
    place = rng.uniform(0, _WIDE), rng.uniform(0, _WIDE)
    return _Blob(picture, *place, rng.uniform(0, 2 * pi), rng.uniform(), rng.uniform(), rng.uniform(0, 2 * pi))


def _strip(rng: KeyedRNG) -> tuple[np.ndarray, float, float]:
    """A bar across the frame: picture, angle of its normal, place along it."""
    width = rng.integer(6, 13)
    picture = _picture(draw_texture(rng, 2 * SIDE, 16, (16, 4))[:, :width], np.ones((2 * SIDE, width)))
    return picture, rng.uniform(0, 2 * pi), rng.uniform(0, 2 * SIDE)


def _picture(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Color times alpha, and alpha: float32 (height, width, 4)."""
    return np.dstack([color * alpha[..., None], alpha]).astype(np.float32)


def _shifted(ground: np.ndarray, x: float, y: float) -> np.ndarray:
    """The frame-sized part of a background that repeats, from (x, y) on."""
    matrix = np.array([[1, 0, -(x % len(ground))], [0, 1, -(y % len(ground))]])
    return cv2.warpAffine(ground, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _draw(frame: np.ndarray, picture: np.ndarray, pose: tuple[float, float, float, float]) -> None:
    """Lay a picture over the frame, in place."""
    x, y, angle, scale = pose
    height, width = picture.shape[:2]
    reach_x = 0.5 * scale * (abs(width * cos(angle)) + abs(height * sin(angle))) + 1
    reach_y = 0.5 * scale * (abs(width * sin(angle)) + abs(height * cos(angle))) + 1
    left, right = max(int(x - reach_x), 0), min(int(x + reach_x) + 2, SIDE)
    top, bottom = max(int(y - reach_y), 0), min(int(y + reach_y) + 2, SIDE)
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
    *above, cover = cv2.split(cv2.warpAffine(picture, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR))
    behind = 1 - cover
    part = frame[top:bottom, left:right]
    part *= cv2.merge([behind, behind, behind])
    part += cv2.merge(above)
