"""Cache of features on disk, memory-mapped when read.

A store holds the features of one encoder and one way of reading videos: array files, each with a list of the videos in
it, both written while features are computed, so that an interrupted computation can be resumed. The key of a video is
its path, size and modification time: a changed file is computed again.

Shapes: V views of a video, D = width; (V, N, D) for tokens.
"""

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vmae_zoo.cache_folder import cache_folder
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.video.jpeg_shards import ShardEntry

LOG = logging.getLogger("vmae_zoo")
ANNOUNCED_BYTES = 10**9  # features that take more are announced before they are computed
OUTDATED = "made_from.json"  # in stores of versions whose keys held other names of classes


def cache_root() -> Path:
    """The folder of all stores."""
    return cache_folder() / "features"


def video_key(record: ClipRecord) -> str:
    """The key of a video in a store."""
    entry = ShardEntry.parse(str(record.path))
    try:
        status = os.stat(entry.shard if entry else record.path)
        state = f"{status.st_size}|{status.st_mtime_ns}"
    except OSError:
        state = "missing"
    return f"{os.path.abspath(record.path)}|{state}|{record.start}|{record.end}"


class FeatureStore:
    """The features of one encoder and one way of reading videos: ``cache_key`` is all that defines both."""

    def __init__(self, root: Path, cache_key: dict[str, Any]):
        text = json.dumps(cache_key, sort_keys=True, default=str)
        self.folder = root / hashlib.sha256(text.encode()).hexdigest()[:20]
        if not self.folder.is_dir() and (outdated := [file.parent for file in root.glob(f"*/{OUTDATED}")]):
            LOG.warning(
                "%s: %d folders with features of an earlier version are not used (%s, ...): delete them",
                root,
                len(outdated),
                outdated[0].name,
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "cache_key.json").write_text(text + "\n")
        self._key = cache(video_key)  # the state of each file before its features are computed
        self._rows: dict[str, tuple[Path, int]] = {}
        self._arrays: dict[Path, np.ndarray] = {}
        for listing in sorted(self.folder.glob("*.jsonl")):
            self._read(listing)

    def __contains__(self, record: ClipRecord) -> bool:
        return self._key(record) in self._rows

    def get(self, record: ClipRecord) -> np.ndarray:
        """The features of a video, memory-mapped."""
        file, row = self._rows[self._key(record)]
        if file not in self._arrays:
            self._arrays[file] = np.load(file, mmap_mode="r")
        return self._arrays[file][row]

    def writer(self, videos: int, shape: Sequence[int], dtype: np.dtype) -> "StoreWriter":
        """A new file with room for so many videos, each of this shape; ``ValueError`` if the disk has less room."""
        number = len(list(self.folder.glob("*.npy")))
        while (file := self.folder / f"part-{number:04d}-{os.getpid()}.npy").exists():
            number += 1
        needed = videos * math.prod(shape) * np.dtype(dtype).itemsize
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise ValueError(
                f"the features of {videos:,} videos take {needed / 1e9:,.1f} GB, and {self.folder} has "
                f"{free / 1e9:,.1f} GB free: name a folder on a larger disk by --cache, or use fewer videos or views"
            )
        if needed > ANNOUNCED_BYTES:
            LOG.warning("the features of %s videos take %.1f GB in %s", f"{videos:,}", needed / 1e9, self.folder)
        np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=(videos, *shape))
        return StoreWriter(self, file, needed // max(videos, 1))

    def _read(self, listing: Path) -> None:
        text = listing.read_text()
        for line in text[: text.rfind("\n") + 1].splitlines():  # the last line may be incomplete
            key, row = json.loads(line)
            self._rows[key] = (listing.with_suffix(".npy"), row)


class StoreWriter:
    """Appends features to a new file of a store by ordinary writes: on a full disk, a memory map ends the process."""

    def __init__(self, store: FeatureStore, file: Path, row_bytes: int):
        self.store, self.file, self.row_bytes, self.count = store, file, row_bytes, 0
        self.offset = np.load(file, mmap_mode="r").offset

    def add(self, records: Sequence[ClipRecord], values: np.ndarray) -> None:
        """Write the features of some videos, then list them; ``ValueError`` if the disk is full."""
        try:
            with self.file.open("r+b") as array:
                array.seek(self.offset + self.count * self.row_bytes)
                array.write(np.ascontiguousarray(values).tobytes())
            self._list(records)
        except OSError as error:
            raise ValueError(
                f"{self.file}: {error.strerror} after {self.count:,} videos, which are kept: free some space, or name "
                "another folder by --cache"
            ) from None
        self.count += len(records)

    def _list(self, records: Sequence[ClipRecord]) -> None:
        with self.file.with_suffix(".jsonl").open("a") as listing:
            for row, record in enumerate(records, self.count):
                listing.write(json.dumps([self.store._key(record), row]) + "\n")
                self.store._rows[self.store._key(record)] = (self.file, row)
