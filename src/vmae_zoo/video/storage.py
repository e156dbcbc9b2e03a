"""A folder on this machine or on an object store (fsspec), for files that are written whole and read in pieces."""

import os
import platform
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_URL = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):/+(?=[^/])")
TRIES = 4  # to read from a store that fails
PAUSE_SECONDS = 0.5  # before the second; twice as long before each next
GAP = 1 << 16  # bytes between two wanted pieces that are fetched rather than asked around


def is_remote(place: str | Path) -> bool:
    """Whether a place is a URL, ``file://`` aside; a `Path` of one, which has lost a slash, counts too."""
    found = _URL.match(os.fspath(place))
    return found is not None and found[1] != "file"


def as_path(place: str | Path) -> Path:
    """A place as a `Path`: that of a URL reads ``s3:/bucket/...`` and stands for it everywhere in the program."""
    text = os.fspath(place).removeprefix("file://")
    return Path(text) if is_remote(text) else Path(text).expanduser().absolute()


def write(place: Path, data: bytes) -> None:
    """Write a small file; it takes its name when it is whole."""
    if is_remote(place):
        with _system(place) as (system, name):
            system.pipe_file(name, data)
        return
    partial = place.with_name(f".{place.name}.{platform.node()}.{os.getpid()}.part")
    place.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(data)
    partial.replace(place)


def move(local: Path, place: Path) -> None:
    """Give a file of this machine its place."""
    if is_remote(place):
        with _system(place) as (system, name):
            system.put_file(str(local), name)
        local.unlink()
    else:
        local.replace(place)


def read(place: Path) -> bytes:
    """A whole file; `OSError` where there is none."""
    if not is_remote(place):
        return place.read_bytes()
    with _system(place) as (system, name):
        return system.cat_file(name)


def exists(place: Path) -> bool:
    """Whether there is such a file."""
    if not is_remote(place):
        return place.exists()
    with _system(place) as (system, name):
        return system.exists(name)


def names(folder: Path) -> set[str]:
    """Names of the files in a folder; none where there is no folder."""
    if not is_remote(folder):
        return {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    try:
        with _system(folder) as (system, name):
            return {found.rstrip("/").rpartition("/")[2] for found in system.ls(name, detail=False)}
    except FileNotFoundError:
        return set()


def read_pieces(place: Path, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
    """Pieces of a file, by their ascending places; shorter ones where the file ends before them.

    On this machine each is one read. From a store, neighbours come in one request, and all requests at once.
    """
    if not is_remote(place):
        file = os.open(place, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return [os.pread(file, end - start, start) for start, end in zip(starts, ends, strict=True)]
        finally:
            os.close(file)
    firsts: list[int] = []
    lasts: list[int] = []
    for start, end in zip(starts, ends, strict=True):
        if lasts and start - lasts[-1] <= GAP:
            lasts[-1] = max(lasts[-1], end)
        else:
            firsts.append(start)
            lasts.append(end)
    for trial in range(TRIES):
        try:
            with _system(place) as (system, name):
                blocks = system.cat_ranges([name] * len(firsts), firsts, lasts, on_error="raise")
            break
        except OSError as error:
            if trial == TRIES - 1 or isinstance(error, FileNotFoundError | PermissionError):
                raise
            time.sleep(PAUSE_SECONDS * 2**trial)
    pieces, block = [], 0
    for start, end in zip(starts, ends, strict=True):
        block += end > lasts[block]
        pieces.append(blocks[block][start - firsts[block] : end - firsts[block]])
    return pieces


@contextmanager
def _system(place: Path) -> Iterator[tuple[Any, str]]:
    """The file system of a URL, and the URL's name in it; asked anew each time, as a fork needs it.

    Whatever goes wrong with it is an `OSError`: each system has errors of its own.
    """
    import fsspec

    url = _URL.sub(r"\1://", os.fspath(place))
    try:
        system, name = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # s3fs, gcsfs, ... are packages of their own
        raise ValueError(f"{url} cannot be reached: {error}") from None
    try:
        system.invalidate_cache()  # others write there too
        yield system, name
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{url} cannot be reached: {type(error).__name__}: {error}") from error
