"""What was seen on the Hub: which commit a name stood for, and the sha256 of each file.

It lies in ``zoo.json`` in the package's cache folder. A file that was seen once is checked against its digest from then
on, and a name from the table of checkpoints keeps the commit it had when it was first pulled.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from filelock import FileLock

from vmae_zoo.cache_folder import cache_folder


def recall(key: str) -> str | None:
    """What was noted under this key; None without a note."""
    return _notes().get(key)


def note(key: str, value: str) -> None:
    """Note it, so that no reader ever sees half a file; a cache folder that cannot be written is left alone."""
    try:
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            write_atomically(path, json.dumps({**_notes(), key: value}, indent=1, sort_keys=True).encode())
    except OSError:
        return


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside the place, then rename: a link that lies there is replaced, not followed."""
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """The digest of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _path() -> Path:
    return cache_folder() / "zoo.json"


def _notes() -> dict[str, str]:
    try:
        found = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
