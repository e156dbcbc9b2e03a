"""The embedded set `scenes`: ten classes that differ in motion alone, in HMDB51's layout with three splits."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
from tqdm import tqdm

from vmae_zoo.datasets.synthetic.encode import encode
from vmae_zoo.datasets.synthetic.scene import CLASSES, frames_of
from vmae_zoo.randomness import hash_text, sample_key

VERSION = 3  # part of every clip's key
CLIPS = 36  # of a class; a third of them is the test share of each split
SPLITS = 3


def write_scenes(folder: Path, clips: int = CLIPS, workers: int | None = None) -> None:
    """Write the clips and their split files into a folder.

    Args:
        folder: an empty folder.
        clips: of a class.
        workers: threads; None: one per core.
    """
    names = [(label, f"{label}_{number:03d}") for label in CLASSES for number in range(clips)]
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    jobs = [(folder / label / f"{name}.mp4", label, clip_key(name)) for label, name in names]
    if not sys.stderr.isatty():
        print(f"creating the {len(jobs)} clips of the embedded set scenes, once ...", file=sys.stderr, flush=True)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # parallel over clips
    with (
        ThreadPoolExecutor(workers or os.cpu_count()) as pool,
        tqdm(total=len(jobs), desc="creating scenes", unit="clip", disable=None, file=sys.stderr) as bar,
    ):
        for _ in pool.map(lambda job: _write(*job), jobs):
            bar.update()
    cv2.setNumThreads(threads)
    (folder / "splits").mkdir()
    for split in range(1, SPLITS + 1):
        for label in CLASSES:
            uses = [2 if number % SPLITS == split - 1 else 1 for number in range(clips)]
            lines = [f"{label}_{number:03d}.mp4 {use}\n" for number, use in enumerate(uses)]
            (folder / "splits" / f"{label}_test_split{split}.txt").write_text("".join(lines))


def clip_key(name: str) -> int:
    """The key that decides everything random about a clip."""
    return sample_key(VERSION, 0, hash_text(name))


def _write(path: Path, label: str, key: int) -> None:
    encode(path, frames_of(label, key))
