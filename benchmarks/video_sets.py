"""Writing a data set of videos and CSV files."""

import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vmae_zoo.atomic_write import atomic_folder
from vmae_zoo.datasets.synthetic.encode import encode

Line = Mapping[str, str]


def write_data(out: Path, videos: Mapping[str, Callable[[], np.ndarray]], tables: Mapping[str, Sequence[Line]]) -> None:
    """Encode videos and write the CSV files that list them; the folder appears once it is complete.

    Args:
        out: the folder, which must not exist.
        videos: functions that return uint8 (T, H, W, 3), by path in the folder.
        tables: rows by file name; all rows of a file have the same columns.

    Raises:
        ValueError: the folder exists.
    """
    if out.exists():
        raise ValueError(f"{out} exists: choose another folder, or remove it")
    with atomic_folder(out) as partial:
        for folder in {(partial / name).parent for name in videos}:
            folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor() as pool:
            jobs = pool.map(lambda name: encode(partial / name, videos[name]()), videos)
            for _ in _with_bar(jobs, len(videos)):
                pass
        for name, lines in tables.items():
            with (partial / name).open("w", newline="") as file:
                writer = csv.DictWriter(file, list(lines[0]))
                writer.writeheader()
                writer.writerows(lines)


def _with_bar(jobs: Iterable[None], total: int) -> Iterable[None]:
    return tqdm(jobs, total=total, desc="writing videos", unit="video", mininterval=2, file=sys.stderr)
