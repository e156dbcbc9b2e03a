"""Files in a local folder or an object store (fsspec): written whole, read in pieces."""

import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vmae_zoo.atomic_write import atomic_write

_URL = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):/+(?=[^/])")
TRIES = 6  # of a read from an object store
STALL_SECONDS = 30  # without a byte from an HTTP server
PAUSE_SECONDS = 0.5  # before the second try; doubles with each further one
S3 = ("s3://", "s3a://")
S3_RETRIES = (
    2  # of a request whose answer breaks off; botocore repeats those without one, and both take minutes to fail
)
MERGE_GAP = 1 << 16  # bytes: reads closer than this are merged


def is_remote(path: str | Path) -> bool:
    """Whether a path is a URL other than ``file://``, also as a `Path`, which has lost one of its slashes."""
    found = _URL.match(os.fspath(path))
    return found is not None and found[1] != "file"


def as_path(path: str | Path) -> Path:
    """A local path, absolute, or a URL as a `Path` (``s3:/bucket/...``), the form that all functions here take."""
    text = os.fspath(path).removeprefix("file://")
    return Path(text) if is_remote(text) else Path(text).expanduser().absolute()


@contextmanager
def write_file(target: Path) -> Iterator[Path]:
    """Yield a local path to write the content of ``target`` to; it appears under that name when the block ends."""
    if not is_remote(target):
        with atomic_write(target) as partial:
            yield partial
        return
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / target.name
        yield local
        with _file_system(target) as (system, name):
            system.put_file(str(local), name)


def read(path: Path) -> bytes:
    """The content of a file; `OSError` if it does not exist."""
    if not is_remote(path):
        return path.read_bytes()
    with _file_system(path) as (system, name):
        return system.cat_file(name)


def exists(path: Path) -> bool:
    """Whether a file exists."""
    if not is_remote(path):
        return path.exists()
    with _file_system(path) as (system, name):
        return system.exists(name)


def names(folder: Path) -> set[str]:
    """Names of the files in a folder; empty if the folder does not exist."""
    if not is_remote(folder):
        return {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    try:
        with _file_system(folder) as (system, name):
            return {found.rstrip("/").rpartition("/")[2] for found in system.ls(name, detail=False)}
    except FileNotFoundError:
        return set()


def read_pieces(path: Path, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
    """Byte ranges of a file, given in ascending order; a range past the end of the file is cut there.

    A local file takes one read per range. From an object store, neighboring ranges are merged, and all requests are
    sent at once.
    """
    if not is_remote(path):
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return [os.pread(file, end - start, start) for start, end in zip(starts, ends, strict=True)]
        finally:
            os.close(file)
    firsts: list[int] = []
    lasts: list[int] = []
    for start, end in zip(starts, ends, strict=True):
        if lasts and start - lasts[-1] <= MERGE_GAP:
            lasts[-1] = max(lasts[-1], end)
        else:
            firsts.append(start)
            lasts.append(end)
    for trial in range(TRIES):
        try:
            with _file_system(path) as (system, name):
                blocks = system.cat_ranges([name] * len(firsts), firsts, lasts, on_error="raise")
            _check_ranges(path, blocks, firsts, lasts)
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


def _check_ranges(path: Path, blocks: Sequence[bytes], firsts: Sequence[int], lasts: Sequence[int]) -> None:
    if any(len(block) > last - first for block, first, last in zip(blocks, firsts, lasts, strict=True)):
        raise ValueError(
            f"{url_of(path)}: the server sends whole files instead of the byte ranges that were requested: copy the "
            "data to a folder, or to a server or object store with range requests"
        )


def url_of(path: Path) -> str:
    """A path as text; restores the second slash of a URL, which `Path` drops."""
    return _URL.sub(r"\1://", os.fspath(path))


@contextmanager
def _file_system(path: Path) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the file's name in it, looked up on every call: a connection breaks in a fork.

    Every error of the file system becomes an `OSError`: each implementation has exceptions of its own.
    """
    import fsspec

    url = url_of(path)
    options: dict[str, Any] = {}
    try:
        if url.startswith("http"):
            from aiohttp import ClientTimeout

            limits = ClientTimeout(sock_connect=STALL_SECONDS, sock_read=STALL_SECONDS)
            options = {"client_kwargs": {"timeout": limits}}
        elif url.startswith(S3):
            options = {"use_listings_cache": False}  # hence an object of our own, whose attributes may be set
        system, name = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:  # s3fs, gcsfs, ... are separate packages
        raise ValueError(f"{url} cannot be opened: {error}") from None
    if url.startswith(S3):
        system.retries = S3_RETRIES
    try:
        system.invalidate_cache()  # other processes write there too
        yield system, name
    except TimeoutError:
        raise OSError(f"{url}: the server sent nothing for {STALL_SECONDS} seconds: try again later") from None
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{url} cannot be accessed: {type(error).__name__}: {error}") from error
