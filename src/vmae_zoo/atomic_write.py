"""Files and folders that are complete at any moment: written beside their target, then renamed."""

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".part"  # of a file that is not complete


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``target``; rename it to ``target`` when the block ends.

    A reader finds the previous file or the new one, never a part of it, also after a power failure: the file is synced
    before the rename and its folder after it. An exception inside the block removes the temporary file. Permissions are
    those of the umask, also if a library writes the file with others.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name[:40]}.{platform.node()}.{os.getpid()}{SUFFIX}")
    partial.touch()
    permissions = stat.S_IMODE(partial.stat().st_mode)
    try:
        yield partial
        partial.chmod(permissions)
        _sync(partial, os.O_RDWR)
        partial.replace(target)
        if os.name == "posix":  # Windows cannot sync a folder
            _sync(target.parent, os.O_RDONLY)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``; rename it to ``target``, which must not exist, when the block ends.

    An exception inside the block removes the temporary folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name[:40]}.{platform.node()}.{os.getpid()}{SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(path: Path, mode: int) -> None:
    number = os.open(path, mode)
    try:
        os.fsync(number)
    finally:
        os.close(number)
