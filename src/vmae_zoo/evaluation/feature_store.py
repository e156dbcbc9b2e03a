"""Features on disk: what was computed once is mapped into memory ever after.

A store belongs to one encoder and one way of reading videos. It is a folder of parts; a part is an array file and a
list of the videos in it, written as they are done, so that a computation that was cut off goes on. A video is known by
its path, size and time of change: another file under the same name is computed anew.

Shapes: V views of a video, D = width; with tokens kept (V, N, D).
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vmae_zoo.cache_folder import cache_folder
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.video.jpeg_shards import Place


def cache_root() -> Path:
    """The folder of all stores."""
    return cache_folder() / "features"


def video_key(row: ClipRecord) -> str:
    """What a video's features are filed under."""
    place = Place.of(str(row.path))
    try:
        status = os.stat(place.shard if place else row.path)
        state = f"{status.st_size}|{status.st_mtime_ns}"
    except OSError:
        state = "missing"
    return f"{os.path.abspath(row.path)}|{state}|{row.start}|{row.end}"


class Store:
    """The features of one encoder, read in one way.

    Args:
        root: folder of the stores.
        cache_key: all that the values depend on beside the video; its hash names the folder.
    """

    def __init__(self, root: Path, cache_key: dict[str, Any]):
        text = json.dumps(cache_key, sort_keys=True, default=str)
        self.folder = root / hashlib.sha256(text.encode()).hexdigest()[:20]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "cache_key.json").write_text(text + "\n")
        self._places: dict[str, tuple[Path, int]] = {}
        self._arrays: dict[Path, np.ndarray] = {}
        for part in sorted(self.folder.glob("*.jsonl")):
            self._read(part)

    def __contains__(self, row: ClipRecord) -> bool:
        return video_key(row) in self._places

    def get(self, row: ClipRecord) -> np.ndarray:
        """The features of a video, mapped from disk."""
        file, place = self._places[video_key(row)]
        if file not in self._arrays:
            self._arrays[file] = np.load(file, mmap_mode="r")
        return self._arrays[file][place]

    def part(self, rows: Sequence[ClipRecord], shape: Sequence[int], dtype: np.dtype) -> "StoreWriter":
        """A new part for so many videos, each of this shape."""
        number = len(list(self.folder.glob("*.npy")))
        while (file := self.folder / f"part-{number:04d}-{os.getpid()}.npy").exists():
            number += 1
        array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=(len(rows), *shape))
        return StoreWriter(self, file, array)

    def _read(self, part: Path) -> None:
        text = part.read_text()
        for line in text[: text.rfind("\n") + 1].splitlines():
            key, place = json.loads(line)
            self._places[key] = (part.with_suffix(".npy"), place)


class StoreWriter:
    """A part that is being written."""

    def __init__(self, store: Store, file: Path, array: np.memmap):
        self.store, self.file, self.array, self.count = store, file, array, 0

    def add(self, rows: Sequence[ClipRecord], values: np.ndarray) -> None:
        """Write the features of some videos, then note them down."""
        self.array[self.count : self.count + len(rows)] = values
        self.array.flush()
        with self.file.with_suffix(".jsonl").open("a") as notes:
            for place, row in enumerate(rows, self.count):
                notes.write(json.dumps([video_key(row), place]) + "\n")
                self.store._places[video_key(row)] = (self.file, place)
        self.count += len(rows)
