"""Commits and digests of files from the Hub, as they were when first downloaded: ``zoo.json`` in the cache folder.

A file that was downloaded once is compared with its digest from then on, and a name of the table of checkpoints stays
at the commit of its first download.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.cache_folder import cache_folder


def read_pin(key: str) -> str | None:
    """The value stored under a key; None if there is none."""
    return _read().get(key)


def store_pin(key: str, value: str) -> None:
    """Store a value; nothing happens if the cache folder is not writable."""
    path = _path()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            pins = {**_read(), key: value}
            with atomic_write(path) as partial:
                partial.write_text(json.dumps(pins, indent=1, sort_keys=True))


def sha256_of(path: Path) -> str:
    """The digest of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _path() -> Path:
    return cache_folder() / "zoo.json"


def _read() -> dict[str, str]:
    try:
        pins = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return pins if isinstance(pins, dict) else {}
