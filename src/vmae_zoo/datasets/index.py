"""The index of a data set: the audit result of every file, stored in SQLite next to the videos.

The file is ``ROOT/.vmae_zoo/index.sqlite``, or in the user's cache folder if the root is read-only. An entry is valid
while size and modification time of its file are unchanged.
"""

import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vmae_zoo.cache_folder import cache_folder
from vmae_zoo.datasets.clip_record import relative_name
from vmae_zoo.datasets.layouts import Catalog
from vmae_zoo.datasets.text_column import hashes, is_in
from vmae_zoo.video.decode import VideoInfo
from vmae_zoo.video.packet_index import PacketIndex

STATE_CHECKS = 1000  # files whose size and time are compared with the index when a data set is opened
MAX_VALUE_BYTES = 1 << 26  # of a text or packet index
MAX_FRAMES = 1 << 31  # of a video, and pixels of a side
VERSION = 3  # of the audit's rules: an index of another version is not used


class Index:
    """Read access to the index of a folder, an SQLite file, in any process."""

    def __init__(self, root: Path, file: Path):
        self.root, self.file = root, file
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def lookup(self, name: str, size: int, mtime_ns: int) -> tuple[VideoInfo, PacketIndex | None] | None:
        """Metadata and packet index of a file with this size and modification time; None if it is not indexed."""
        query = "SELECT info, timeline FROM files WHERE path = ? AND size = ? AND mtime_ns = ?"
        try:
            found = self._rows(query, key_of(self.root, name), size, mtime_ns).fetchone()
        except sqlite3.Error:  # its disk is unavailable for a while
            self._connection = None
            return None
        if not found or found[0] is None:
            return None
        info, packed = found
        try:
            return _checked(VideoInfo(**json.loads(info))), None if packed is None else PacketIndex.unpack(packed)
        except (ValueError, TypeError, RecursionError, zlib.error):  # written by another program
            return None

    def verdicts(self, *only: str) -> dict[str, tuple[str, str, int, int]]:
        """Verdict, reasons, size and modification time (ns) of every file, or of the files with some verdicts."""
        where = f"WHERE verdict IN ({', '.join('?' * len(only))})" if only else ""
        try:
            rows = self._rows(f"SELECT path, verdict, reasons, size, mtime_ns FROM files {where} ORDER BY path", *only)
            return {path: (verdict, "; ".join(json.loads(reasons)), *rest) for path, verdict, reasons, *rest in rows}
        except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
            raise self._damaged(error) from None

    @property
    def fingerprint(self) -> str:
        """Hash of all paths, contents and verdicts, 16 hexadecimal digits; independent of root and file times."""
        try:
            found, comma = hashlib.blake2b(b"[", digest_size=8), ""
            for row in self._rows("SELECT path, digest, verdict FROM files ORDER BY path"):
                found.update((comma + json.dumps(row)).encode())
                comma = ", "
        except sqlite3.Error as error:
            raise self._damaged(error) from None
        found.update(b"]")
        return found.hexdigest()

    def keys(self) -> Iterator[str]:
        """The key of every file."""
        try:
            yield from (key for (key,) in self._rows("SELECT path FROM files"))
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def is_current(self, key: str, file: str) -> bool:
        """Whether an indexed file has the size and modification time of its entry."""
        return any(
            unchanged(file, *state) for state in self._rows("SELECT size, mtime_ns FROM files WHERE path = ?", key)
        )

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(f"{self.file} is damaged ({error}): delete it and run `vmae-zoo index {self.root}` again")

    def _rows(self, query: str, *values: object) -> sqlite3.Cursor:
        if self._connection is None or self._process != os.getpid():  # a connection does not survive a fork
            self._connection, self._process = connect(self.file), os.getpid()
        return self._connection.execute(query, values)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connection": None}


def find_index(root: Path) -> Index | None:
    """The index of a root; None if it has none of this version."""
    for file in index_files(root):
        try:
            with closing(connect(file)) as connection:
                if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION and is_plain(connection):
                    return Index(folder_of(root), file)
        except sqlite3.Error:
            continue
    return None


def excluded_verdicts(refuse_corrupt: bool) -> tuple[str, ...]:
    """Verdicts of videos that training leaves out: "damaged", and with ``refuse_corrupt`` also "concealed"."""
    return ("damaged", "concealed") if refuse_corrupt else ("damaged",)


def without_damaged(catalog: Catalog, index: Index, refuse_corrupt: bool = False) -> Catalog:
    """The catalog without damaged files, with notes about them and about files that are not indexed."""
    records = catalog.records
    keys = hashes((key_of(index.root, file) for file in records.all_files()), len(records))
    videos, first_rows = np.unique(keys, return_index=True)
    known = is_in(videos, hashes(index.keys()))
    notes = [f"index {index.fingerprint}"]
    verdicts = index.verdicts(*excluded_verdicts(refuse_corrupt))
    suspects = np.flatnonzero(is_in(keys, hashes(verdicts)))
    damaged: dict[str, str] = {}
    for file in dict.fromkeys(records.take(suspects).all_files()):
        _, reasons, *state = verdicts[key_of(index.root, file)]
        if unchanged(file, *state):
            damaged[file] = reasons
    if damaged:
        first = min(damaged)
        notes.append(f"{len(damaged)} damaged videos left out, for example {os.path.basename(first)}: {damaged[first]}")
    if not known.all():
        notes.append(f"{int((~known).sum())} videos are not in the index (`vmae-zoo index` adds them)")
    checked = list(records.take(np.sort(first_rows[known])[:STATE_CHECKS]).all_files())
    if changed := sum(not index.is_current(key_of(index.root, file), file) for file in checked):
        notes.append(f"{changed} of {len(checked)} files changed since they were indexed (run `vmae-zoo index` again)")
    kept = np.ones(len(records), bool)
    kept[suspects] = [file not in damaged for file in records.take(suspects).all_files()]
    return replace(catalog, records=records.where(kept), notes=(*catalog.notes, *notes))


def key_of(root: Path, file: str | Path) -> str:
    """Key of a file in the index: its path relative to the root, or its full path if it is elsewhere."""
    name = os.fsencode(relative_name(root, os.fspath(file)))
    return name.decode(errors="backslashreplace")  # SQLite stores no bytes that are not UTF-8


def folder_of(root: Path) -> Path:
    """The folder of a root, which may be a list file."""
    return root if root.is_dir() else root.parent


def unchanged(path: str | Path, size: int, mtime_ns: int) -> bool:
    """Whether a file exists with this size and modification time."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (size, mtime_ns)


def index_files(root: Path) -> tuple[Path, Path]:
    """The two places of a root's index: next to the videos, and in the cache folder."""
    name = "index" if root.is_dir() else f"index-{root.name}"
    elsewhere = hashlib.blake2b(str(root).encode(), digest_size=8).hexdigest()
    return folder_of(root) / ".vmae_zoo" / f"{name}.sqlite", cache_folder() / "indexes" / f"{elsewhere}.sqlite"


def _checked(info: VideoInfo) -> VideoInfo:
    """The metadata; ``ValueError`` if a number is out of bounds."""
    sizes = (info.frames, info.height, info.width)
    if not all(isinstance(size, int) and 0 < size < MAX_FRAMES for size in sizes) or not 0 <= info.fps < MAX_FRAMES:
        raise ValueError(f"no metadata of a video: {info}")
    return info


def is_plain(connection: sqlite3.Connection) -> bool:
    """Whether the only content is the table ``files``: views and triggers may compute without end."""
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'").fetchall()
    return [(*row, str(sql)[:12].upper()) for *row, sql in found] == [("table", "files", "CREATE TABLE")]


def connect(file: Path) -> sqlite3.Connection:
    """A read-only connection to a file that may come with a stranger's data set."""
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
