"""The index of a data set: every file audited once, kept in SQLite beside the videos.

It lies in ``ROOT/.vmae_zoo/index.sqlite``, or in the user's cache folder where the root cannot be written. A file whose
size and time of change are those of its entry is not read again; any other file is as if it were not in the index.
"""

import hashlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vmae_zoo.cache_folder import cache_folder
from vmae_zoo.datasets.audit import AuditResult, audit
from vmae_zoo.datasets.layouts import Catalog, open_catalog
from vmae_zoo.datasets.layouts.base import list_videos
from vmae_zoo.datasets.process_pool import file_workers
from vmae_zoo.video.decode import VideoInfo
from vmae_zoo.video.packet_index import PacketIndex

VERSION = 2  # of what an audit finds: another one starts over
TABLE = """CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, digest TEXT,
    verdict TEXT, reasons TEXT, duration REAL, info TEXT, timeline BLOB)"""
SAVE_EVERY = 200  # files


class Index:
    """What an audit found, by path; for reading, in any process.

    Args:
        root: folder that the paths in the index are relative to.
        file: the SQLite file.
    """

    def __init__(self, root: Path, file: Path):
        self.root, self.file = root, file
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def lookup(self, name: str, size: int, mtime_ns: int) -> tuple[VideoInfo, PacketIndex | None] | None:
        """What is known of a file of this size and time of change; None where it has to be read."""
        query = "SELECT info, timeline FROM files WHERE path = ? AND size = ? AND mtime_ns = ?"
        try:
            found = self._query(query, key_of(self.root, Path(name)), size, mtime_ns)
        except sqlite3.Error:  # its disk is gone for a while
            self._connection = None
            return None
        if not found or found[0][0] is None:
            return None
        info, timeline = found[0]
        return VideoInfo(**json.loads(info)), None if timeline is None else PacketIndex.unpack(timeline)

    def verdicts(self) -> dict[str, tuple[str, str, int, int]]:
        """Verdict, reasons, size and time of change of every file."""
        records = self._query("SELECT path, verdict, reasons, size, mtime_ns FROM files ORDER BY path")
        return {path: (verdict, "; ".join(json.loads(reasons)), *rest) for path, verdict, reasons, *rest in records}

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of every path, content and verdict; moving or touching files changes nothing."""
        records = self._query("SELECT path, digest, verdict FROM files ORDER BY path")
        return hashlib.blake2b(json.dumps(records).encode(), digest_size=8).hexdigest()

    def _query(self, query: str, *values: object) -> list[tuple]:
        if self._connection is None or self._process != os.getpid():  # a connection does not survive a fork
            self._connection, self._process = _reading(self.file), os.getpid()
        return self._connection.execute(query, values).fetchall()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connection": None}


def find_index(root: Path) -> Index | None:
    """The index of a root, None where there is none of this version."""
    for file in _places(root):
        try:
            with closing(_reading(file)) as connection:
                if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
                    return Index(folder_of(root), file)
        except sqlite3.Error:
            continue
    return None


def refused(refuse_corrupt: bool) -> tuple[str, ...]:
    """Verdicts of videos that are left out: those with frames that the decoder made up only when asked."""
    return ("damaged", "concealed") if refuse_corrupt else ("damaged",)


def without_damaged(catalog: Catalog, index: Index, refuse_corrupt: bool = False) -> Catalog:
    """The catalog without the files that the index found damaged, and a note on them and on files it does not know.

    Args:
        catalog: of the root.
        index: of the same root.
        refuse_corrupt: leave out files with concealed frames too.
    """
    verdicts = index.verdicts()
    paths = dict.fromkeys(record.path for record in catalog.records)
    known = {path: verdicts[key] for path in paths if (key := key_of(index.root, path)) in verdicts}
    damaged = {path for path, found in known.items() if found[0] in refused(refuse_corrupt) and _same(path, *found[2:])}
    notes = [f"index {index.fingerprint}"]
    if damaged:
        first = min(damaged)
        notes.append(f"{len(damaged)} damaged videos left out, for example {first.name}: {known[first][1]}")
    if len(known) < len(paths):
        notes.append(f"{len(paths) - len(known)} videos are not in the index (`vmae-zoo index` adds them)")
    records = [record for record in catalog.records if record.path not in damaged]
    return replace(catalog, records=records, notes=(*catalog.notes, *notes))


def make_index(root: Path, workers: int | None = None, progress: bool = True) -> tuple[Index, int]:
    """Audit every video of a root that has changed, in parallel, and forget those that are gone.

    Args:
        root: folder, or list file.
        workers: processes; None: one per core.
        progress: show a bar where standard error is a terminal.

    Returns:
        The index, and how many files were read now.

    Raises:
        ValueError: there is no video, or no place to write.
    """
    from tqdm import tqdm

    folder = folder_of(root)
    videos = list_videos(folder) if root.is_dir() else []
    if not videos:
        catalog = open_catalog(root)
        if catalog.layout == "cache":
            raise ValueError(f"{root} is a cache, whose frames were compared when it was made: index its source")
        videos = list(dict.fromkeys(record.path for record in catalog.records))
    file, connection = _writing(root)
    with closing(connection):
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            connection.execute("DROP TABLE IF EXISTS files")
        connection.execute(TABLE)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        kept = {path: rest for path, *rest in connection.execute("SELECT path, size, mtime_ns FROM files")}
        paths = {key_of(folder, path): path for path in videos}
        connection.executemany("DELETE FROM files WHERE path = ?", [(key,) for key in kept if key not in paths])
        changed = [path for key, path in paths.items() if key not in kept or not _same(path, *kept[key])]
        bar = tqdm(total=len(changed), desc="index", unit="video", disable=None if progress else True, file=sys.stderr)
        try:
            with bar:
                for number, (path, found) in enumerate(_audits(changed, workers or os.cpu_count() or 1), start=1):
                    connection.execute(
                        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            *(key_of(folder, path), found.size, found.mtime_ns, found.digest, found.verdict),
                            *(json.dumps(found.reasons), found.duration),
                            None if found.info is None else json.dumps(asdict(found.info)),
                            None if found.timeline is None else found.timeline.pack(),
                        ),
                    )
                    if number % SAVE_EVERY == 0:
                        connection.commit()
                    bar.update()
        finally:
            connection.commit()
    return Index(folder, file), len(changed)


def _audits(paths: Sequence[Path], workers: int) -> Iterator[tuple[Path, AuditResult]]:
    """Findings as they come; a file that kills its process is damaged, and the others go on."""
    left, careful = list(paths), 0
    while left:
        batch = left[:1] if careful else left
        done = set()
        with file_workers(min(workers, len(batch))) as pool:
            futures = {pool.submit(audit, path): path for path in batch}
            for future in as_completed(futures):
                try:
                    found = future.result()
                except BrokenProcessPool:
                    continue
                done.add(futures[future])
                yield futures[future], found
        if careful and not done:
            done.add(batch[0])
            status = batch[0].stat()
            yield batch[0], AuditResult(status.st_size, status.st_mtime_ns, "", "damaged", ("it crashes the decoder",))
        left = [path for path in left if path not in done]
        careful = careful - 1 if careful else 2 * workers + 1  # those that may have been under way when one crashed


def key_of(root: Path, path: Path) -> str:
    """A file's name in the index: its path below the root, or the full one where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def folder_of(root: Path) -> Path:
    """The folder that a root, which may be a list file, lies in."""
    return root if root.is_dir() else root.parent


def _same(path: Path, size: int, mtime_ns: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (size, mtime_ns)


def _places(root: Path) -> tuple[Path, Path]:
    name = "index" if root.is_dir() else f"index-{root.name}"
    elsewhere = hashlib.blake2b(str(root).encode(), digest_size=8).hexdigest()
    return folder_of(root) / ".vmae_zoo" / f"{name}.sqlite", cache_folder() / "indexes" / f"{elsewhere}.sqlite"


def _reading(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=60)


def _writing(root: Path) -> tuple[Path, sqlite3.Connection]:
    problems: Iterable[str] = []
    for file in _places(root):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(file, timeout=60)
            connection.execute("BEGIN IMMEDIATE")
            connection.commit()
            return file, connection
        except (OSError, sqlite3.Error) as error:
            problems = [*problems, f"{file}: {error}"]
    raise ValueError(f"the index cannot be written ({'; '.join(problems)}): set VMAE_ZOO_CACHE to a folder that can")
