"""The folder for files that the package makes or downloads and can make again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``VMAE_ZOO_CACHE``, or ``vmae_zoo`` in the user's cache folder (``XDG_CACHE_HOME``, ``~/.cache``)."""
    given = os.environ.get("VMAE_ZOO_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "vmae_zoo"
