"""A small labelled folder of real video files, encoded once per session."""

from pathlib import Path

import numpy as np
import pytest

from vmae_zoo.datasets.synthetic.demo import encode


@pytest.fixture(scope="session")
def small_set(tmp_path_factory) -> Path:
    """``train/<class>`` with 22 clips and ``val/<class>`` with 5: 12 frames of 40 x 32 noise each."""
    root = tmp_path_factory.mktemp("small_set")
    noise = np.random.default_rng(0)
    for number in range(27):
        folder = root / ("train" if number < 22 else "val") / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        coarse = noise.integers(0, 256, (12, 4, 5, 3), dtype=np.uint8)
        encode(folder / f"{number:02d}.mp4", coarse.repeat(8, 1).repeat(8, 2))
    return root
