"""Creating and updating the index of a data set."""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from vmae_zoo.datasets.audit import AuditResult, audit
from vmae_zoo.datasets.index import (
    VERSION,
    Index,
    connect,
    find_index,
    folder_of,
    index_files,
    is_plain,
    key_of,
    unchanged,
)
from vmae_zoo.datasets.layouts import open_catalog
from vmae_zoo.datasets.process_pool import as_finished
from vmae_zoo.datasets.scan import scan_videos

TABLE = """CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, digest TEXT,
    verdict TEXT, reasons TEXT, duration REAL, info TEXT, timeline BLOB)"""
SAVE_EVERY = 200  # files


def make_index(
    root: Path, workers: int | None = None, progress: bool = True, part: tuple[int, int] = (0, 1)
) -> tuple[Index, int]:
    """Audit all new and changed videos of a root in parallel, and delete entries of videos that no longer exist.

    One part of several has a file of its own, so that machines may write them at the same time on any file system. The
    whole index, made afterwards, takes the entries of all parts over and deletes their files.

    Args:
        root: folder, or list file.
        workers: number of processes; None: one per core.
        progress: show a progress bar if standard error is a terminal.
        part: number of the part, and how many there are.

    Returns:
        The index, or that of the part, and the number of files that were audited.

    Raises:
        ValueError: there is no video, or the index cannot be written.
    """
    folder = folder_of(root)
    videos = scan_videos(folder) if root.is_dir() else []
    if not videos:
        catalog = open_catalog(root)
        if catalog.layout == "cache":
            raise ValueError(f"{root} is a cache, whose frames were compared when it was made: index its source")
        videos = list(dict.fromkeys(catalog.records.all_files()))
    first, parts = part
    whole = find_index(root) if parts > 1 else None  # what it has is not audited again
    file, connection = _open_for_writing(root, f"-part-{first}-of-{parts}" if parts > 1 else "")
    with closing(connection):
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION or not is_plain(connection):
            schema = "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type = 'table'"
            for kind, name in connection.execute(schema).fetchall():
                connection.execute(f'DROP {kind} IF EXISTS "{name}"')
        connection.execute(TABLE)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        if parts == 1:
            _take_over_parts(connection, file)
        indexed = {path: state for path, *state in connection.execute("SELECT path, size, mtime_ns FROM files")}
        paths = {key_of(folder, video): video for video in videos}
        paths = {key: paths[key] for key in sorted(paths)[first::parts]}
        connection.executemany("DELETE FROM files WHERE path = ?", [(key,) for key in indexed if key not in paths])
        changed = [path for key, path in paths.items() if key not in indexed or not unchanged(path, *indexed[key])]
        if whole is not None:
            changed = [path for path in changed if not whole.is_current(key_of(folder, path), path)]
        bar = tqdm(total=len(changed), desc="index", unit="video", disable=None if progress else True, file=sys.stderr)
        try:
            with bar:
                for number, (path, result) in enumerate(_audit_all(changed, workers or os.cpu_count() or 1), start=1):
                    _store(connection, key_of(folder, path), result)
                    if number % SAVE_EVERY == 0:
                        connection.commit()
                    bar.update()
        finally:
            connection.commit()
    return Index(folder, file), len(changed)


def _store(connection: sqlite3.Connection, key: str, result: AuditResult) -> None:
    info = None if result.info is None else json.dumps(asdict(result.info))
    packed = None if result.packet_index is None else result.packet_index.pack()
    file = (key, result.size, result.mtime_ns, result.digest)
    found = (result.verdict, json.dumps(result.reasons), result.duration, info, packed)
    connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*file, *found))


def _audit_all(paths: Sequence[str], workers: int) -> Iterator[tuple[str, AuditResult]]:
    """Audit results as they finish; a file that kills its process is damaged, and the other files are still audited.

    After a crash, files are audited one at a time until all that may have run at the same time are done.
    """
    left, one_by_one = list(paths), 0
    while left:
        batch = left[:1] if one_by_one else left
        done = set()
        for (path,), future in as_finished(audit, ((path,) for path in batch), min(workers, len(batch))):
            try:
                result = future.result()
            except BrokenProcessPool:
                continue
            done.add(path)
            yield path, result
        if one_by_one and not done:
            done.add(batch[0])
            status = os.stat(batch[0])
            yield batch[0], AuditResult(status.st_size, status.st_mtime_ns, "", "damaged", ("it crashes the decoder",))
        left = [path for path in left if path not in done]
        one_by_one = one_by_one - 1 if one_by_one else 2 * workers + 1


def _take_over_parts(connection: sqlite3.Connection, file: Path) -> None:
    """Copy the entries of all parts into an index, and delete the files of the parts."""
    for part in sorted(file.parent.glob(f"{file.stem}-part-*-of-*.sqlite")):
        try:
            with closing(connect(part)) as found:
                version, state = (
                    found.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "quick_check")
                )
                if (version, state) == (VERSION, "ok") and is_plain(found):
                    rows = found.execute("SELECT * FROM files")
                    connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error:  # damaged: its videos are audited again
            connection.rollback()
        else:
            connection.commit()
        part.unlink()


def _open_for_writing(root: Path, suffix: str) -> tuple[Path, sqlite3.Connection]:
    problems = []
    for whole in index_files(root):
        file = whole.with_name(f"{whole.stem}{suffix}.sqlite")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(file, timeout=60)
            connection.execute("BEGIN IMMEDIATE")
            connection.commit()
            return file, connection
        except (OSError, sqlite3.Error) as error:
            problems.append(f"{file}: {error}")
    raise ValueError(
        f"the index cannot be written ({'; '.join(problems)}): set VMAE_ZOO_CACHE to a folder with write permission"
    )
