"""Moving MNIST with two label sets: the digit, and its motion.

``python -m benchmarks.moving_digits mnist.npz OUT`` writes videos, ``digit.csv`` and ``motion.csv``.
The npz has ``x_train, y_train, x_test, y_test`` (Keras's mnist.npz) or ``x, y``. After Srivastava, Mansimov,
Salakhutdinov, "Unsupervised Learning of Video Representations using LSTMs" (ICML 2015, arXiv 1502.04681); different
here: one digit per clip, which wraps around at the edges, so that its position is uniform in every frame of every
motion, and a single frame shows the digit but not the motion.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from math import cos, pi, sin
from pathlib import Path

import numpy as np

from benchmarks.video_sets import write_data
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key

MOTIONS = ("left", "right", "up", "down", "clockwise", "anticlockwise")
SIDE, FRAMES = 64, 40
TEST_SHARE = 0.2


def clip_of(digit_HW: np.ndarray, motion: str, key: int) -> np.ndarray:
    """uint8 (FRAMES, SIDE, SIDE, 3): a digit moving 1 to 2 pixels per frame, or on a circle in 20 to 32 frames.

    Args:
        digit_HW: uint8, at most SIDE pixels wide and high.
        motion: one of `MOTIONS`.
        key: random key of start and speed.
    """
    rng = KeyedRNG(key, "moving digit")
    x, y = rng.uniform(0, SIDE), rng.uniform(0, SIDE)
    speed, phase, radius, period = (
        rng.uniform(1, 2),
        rng.uniform(0, 2 * pi),
        rng.uniform(7, 14),
        rng.uniform(20, 32),
    )
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    canvas[: digit_HW.shape[0], : digit_HW.shape[1]] = digit_HW
    clip = np.empty((FRAMES, SIDE, SIDE), np.uint8)
    for t in range(FRAMES):
        if motion in ("clockwise", "anticlockwise"):
            angle = phase + (1 if motion == "clockwise" else -1) * 2 * pi * t / period
            across, down = x + radius * cos(angle), y + radius * sin(angle)
        else:
            direction = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[motion]
            across, down = x + direction[0] * speed * t, y + direction[1] * speed * t
        clip[t] = np.roll(canvas, (round(down), round(across)), (0, 1))
    return np.repeat(clip[..., None], 3, 3)


def read_digits(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, H, W) and labels (N,); ``ValueError`` if the file is invalid."""
    with np.load(file) as arrays:
        names = [("x", "y")] if "x" in arrays else [("x_train", "y_train"), ("x_test", "y_test")]
        if any(name not in arrays for pair in names for name in pair):
            raise ValueError(f"{file} has neither x and y nor x_train, y_train, x_test and y_test: {list(arrays)}")
        images = np.concatenate([arrays[name] for name, _ in names])
        labels = np.concatenate([arrays[name] for _, name in names])
    if images.ndim != 3 or images.dtype != np.uint8 or len(images) != len(labels) or max(images.shape[1:]) > SIDE:
        raise ValueError(f"{file} must have uint8 images (N, rows, columns) of at most {SIDE} pixels, and N labels")
    return images, labels


def make(file: Path, out: Path, clips: int = 2000, seed: int = 0) -> None:
    """Write ``clips`` videos of different images; a fifth of them is for testing."""
    images, labels = read_digits(file)
    if not 10 <= clips <= len(images):
        raise ValueError(
            f"clips = {clips}: must be 10 to {len(images)}, the number of images, each of which is used once"
        )
    order = KeyedRNG(sample_key(seed, 0, hash_text("digits")), "order").permutation(len(images))[:clips]
    videos = {}
    tables: dict[str, list[dict[str, str]]] = {"digit.csv": [], "motion.csv": []}
    for number, image in enumerate(order):
        name = f"videos/{image:05d}.mp4"
        motion = MOTIONS[number % len(MOTIONS)]
        split = "test" if number >= round(clips * (1 - TEST_SHARE)) else "train"
        videos[name] = partial(clip_of, images[image], motion, sample_key(seed, 0, image))
        tables["digit.csv"].append({"path": name, "label": str(labels[image]), "split": split})
        tables["motion.csv"].append({"path": name, "label": motion, "split": split})
    write_data(out, videos, tables)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moving_digits", description=__doc__.split("\n")[0])
    parser.add_argument("npz", type=Path, help="digits: x_train, y_train, x_test, y_test, or x and y")
    parser.add_argument("out", type=Path, help="folder to create")
    parser.add_argument(
        "--clips", type=int, default=2000, metavar="N", help="videos, a fifth for testing (default 2000)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of digits, starts and speeds (default 0)")
    args = parser.parse_args(arguments)
    try:
        make(args.npz, args.out, args.clips, args.seed)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(args.out / "digit.csv", args.out / "motion.csv", sep="\n")


if __name__ == "__main__":
    main()
