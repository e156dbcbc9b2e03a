"""Moving MNIST with two label sets: which digit it is, and how it moves.

``python -m vmae_zoo.datasets.synthetic.moving_digits mnist.npz OUT`` writes videos,
``digit.csv`` and ``motion.csv``. The digits
are those of an npz with ``x_train, y_train, x_test, y_test`` (Keras's mnist.npz) or ``x, y``. After Srivastava,
Mansimov, Salakhutdinov, "Unsupervised Learning of Video Representations using LSTMs" (ICML 2015, arXiv 1502.04681);
different here: one digit in a clip, and it leaves at one side and comes back at the other, so that its place is uniform
in every frame of every motion and a single frame tells the digit but not the motion.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from math import cos, pi, sin
from pathlib import Path

import numpy as np

from vmae_zoo.datasets.synthetic.writer import write_data
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key

MOTIONS = ("left", "right", "up", "down", "clockwise", "anticlockwise")
SIDE, FRAMES = 64, 40
TEST_SHARE = 0.2


def clip_of(digit_HW: np.ndarray, motion: str, key: int) -> np.ndarray:
    """uint8 (FRAMES, SIDE, SIDE, 3): a digit on its way, 1 to 2 pixels a frame, or a turn in 20 to 32 frames.

    Args:
        digit_HW: uint8, at most SIDE pixels wide and high.
        motion: one of `MOTIONS`.
        key: decides where it starts and how fast it is.
    """
    draws = KeyedRNG(key, "moving digit")
    x, y = draws.uniform(0, SIDE), draws.uniform(0, SIDE)
    speed, phase, radius, period = (
        draws.uniform(1, 2),
        draws.uniform(0, 2 * pi),
        draws.uniform(7, 14),
        draws.uniform(20, 32),
    )
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    canvas[: digit_HW.shape[0], : digit_HW.shape[1]] = digit_HW
    clip = np.empty((FRAMES, SIDE, SIDE), np.uint8)
    for t in range(FRAMES):
        if motion in ("clockwise", "anticlockwise"):
            turned = phase + (1 if motion == "clockwise" else -1) * 2 * pi * t / period
            across, down = x + radius * cos(turned), y + radius * sin(turned)
        else:
            way = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[motion]
            across, down = x + way[0] * speed * t, y + way[1] * speed * t
        clip[t] = np.roll(canvas, (round(down), round(across)), (0, 1))
    return np.repeat(clip[..., None], 3, 3)


def read_digits(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, H, W) and labels (N,); ``ValueError`` where the file has none."""
    with np.load(file) as arrays:
        names = [("x", "y")] if "x" in arrays else [("x_train", "y_train"), ("x_test", "y_test")]
        if any(name not in arrays for pair in names for name in pair):
            raise ValueError(f"{file} has neither x and y nor x_train, y_train, x_test and y_test: {list(arrays)}")
        images = np.concatenate([arrays[name] for name, _ in names])
        labels = np.concatenate([arrays[name] for _, name in names])
    if images.ndim != 3 or images.dtype != np.uint8 or len(images) != len(labels) or max(images.shape[1:]) > SIDE:
        raise ValueError(f"{file} should hold uint8 images (N, rows, columns) of at most {SIDE} pixels, and N labels")
    return images, labels


def make(file: Path, out: Path, clips: int = 2000, seed: int = 0) -> None:
    """Write ``clips`` videos, each of another digit; a fifth of them, of digits of their own, is for testing."""
    images, labels = read_digits(file)
    if not 10 <= clips <= len(images):
        raise ValueError(f"{clips} clips of {len(images)} digits: at least 10, and each digit is used once")
    order = KeyedRNG(sample_key(seed, 0, hash_text("digits")), "order").permutation(len(images))[:clips]
    videos = {}
    tables: dict[str, list[dict[str, str]]] = {"digit.csv": [], "motion.csv": []}
    for number, place in enumerate(order):
        name = f"videos/{place:05d}.mp4"
        motion = MOTIONS[number % len(MOTIONS)]
        split = "test" if number >= round(clips * (1 - TEST_SHARE)) else "train"
        videos[name] = partial(clip_of, images[place], motion, sample_key(seed, 0, place))
        tables["digit.csv"].append({"path": name, "label": str(labels[place]), "split": split})
        tables["motion.csv"].append({"path": name, "label": motion, "split": split})
    write_data(out, videos, tables)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m vmae_zoo.datasets.synthetic.moving_digits", description=__doc__.split("\n")[0]
    )
    parser.add_argument("npz", type=Path, help="digits: x_train, y_train, x_test, y_test, or x and y")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument(
        "--clips", type=int, default=2000, metavar="N", help="videos, a fifth for testing (default 2000)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of which digits, where and how fast (default 0)"
    )
    args = parser.parse_args(arguments)
    try:
        make(args.npz, args.out, args.clips, args.seed)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(args.out / "digit.csv", args.out / "motion.csv", sep="\n")


if __name__ == "__main__":
    main()
