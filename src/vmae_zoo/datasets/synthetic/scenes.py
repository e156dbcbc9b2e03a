"""The embedded set `scenes`: ten classes that differ in motion alone, in HMDB51's layout with three splits."""

from functools import partial
from pathlib import Path

from vmae_zoo.datasets.synthetic.encode import encode, write_clips
from vmae_zoo.datasets.synthetic.scene import CLASSES, frames_of
from vmae_zoo.randomness import hash_text, sample_key

VERSION = 3  # part of every clip's key
CLIPS = 36  # of a class; a third of them is the test share of each split
SPLITS = 3


def write_scenes(folder: Path, clips: int = CLIPS, workers: int | None = None) -> None:
    """Write ``clips`` clips of each class and their split files into an empty folder; workers: see `write_clips`."""
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    names = [f"{label}_{number:03d}" for label in CLASSES for number in range(clips)]
    write_clips(partial(_write, folder), names, workers)
    (folder / "splits").mkdir()
    for split in range(1, SPLITS + 1):
        for label in CLASSES:
            uses = [2 if number % SPLITS == split - 1 else 1 for number in range(clips)]
            lines = [f"{label}_{number:03d}.mp4 {use}\n" for number, use in enumerate(uses)]
            (folder / "splits" / f"{label}_test_split{split}.txt").write_text("".join(lines))


def _write(folder: Path, name: str) -> None:
    label = name.rpartition("_")[0]
    encode(folder / label / f"{name}.mp4", frames_of(label, sample_key(VERSION, 0, hash_text(name))))
