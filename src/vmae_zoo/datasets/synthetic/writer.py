"""Videos and CSV files in a folder that is there whole or not at all."""

import csv
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vmae_zoo.datasets.synthetic.demo import encode

Line = Mapping[str, str]


def write_data(out: Path, videos: Mapping[str, Callable[[], np.ndarray]], tables: Mapping[str, Sequence[Line]]) -> None:
    """Encode videos and write the CSV files that list them.

    Args:
        out: the folder; it must not be there yet.
        videos: functions that give uint8 (T, H, W, 3), by path in the folder.
        tables: lines by file name; those of a file have the same columns.

    Raises:
        ValueError: the folder is there.
    """
    if out.exists():
        raise ValueError(f"{out} is there already: name another folder, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
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
        partial.chmod(0o755)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _with_bar(jobs: Iterable[None], total: int) -> Iterable[None]:
    return tqdm(jobs, total=total, desc="writing videos", unit="video", mininterval=2, file=sys.stderr)
