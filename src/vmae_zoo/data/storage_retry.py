"""Waiting for a folder of videos that is unavailable for a while: a lost mount, a server that restarts.

Meanwhile no video in it can be read, but none is damaged: a worker returns the references of the clips that it could
not read, and the main process waits and reads them itself.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from vmae_zoo.data.reader import FILES, VideoReader
from vmae_zoo.datasets.layouts import ClipRecord, ClipTable
from vmae_zoo.video.storage import is_remote

Item = dict[str, Any]  # one clip of a sample

POLL_SECONDS = 5.0


class RootUnavailableError(OSError):
    """A folder of videos cannot be reached."""


def required_dirs_of(root: Path, records: ClipTable) -> tuple[Path, ...]:
    """Folders without which no clip can be read: the root, and the common folder of videos outside it."""
    if is_remote(root):
        return ()
    elsewhere = records.where(records.absolute()).files
    elsewhere = elsewhere.take(np.flatnonzero(~elsewhere.starts_with(os.path.join(root, ""))))
    common = [Path(os.path.dirname(elsewhere.common_prefix()))] if len(elsewhere) else []
    return (root, *common) if root.is_dir() else tuple(common)


def is_unavailable(folder: Path) -> bool:
    """Whether a folder cannot be listed or is empty, as a mount point without its mount is."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True


class RetryingDataset(Dataset[list[Item]]):
    """Base of data sets of clips: distinguishes unreadable videos from an unavailable folder.

    Without its ``required_dirs`` no video in them can be read.
    """

    def __init__(self, records: Sequence[ClipRecord], required_dirs: Sequence[Path] = (), reader: VideoReader = FILES):
        self.records, self.required_dirs, self.reader = records, tuple(required_dirs), reader

    def __len__(self) -> int:
        return len(self.records)

    def __getitems__(self, refs: Sequence[tuple[int, ...]]) -> list[list[Item]]:
        """The samples of a batch; or a single one with "unavailable", the folder, and "refs"."""
        try:
            return [self[ref] for ref in refs]
        except RootUnavailableError as error:
            return [[{"unavailable": str(error), "refs": list(refs)}]]

    def check_available(self, path: Path) -> None:
        """``RootUnavailableError`` if a required folder above the file cannot be reached."""
        for folder in self.required_dirs:
            if path.is_relative_to(folder) and is_unavailable(folder):
                raise RootUnavailableError(str(folder))


def wait_for(folder: Path, minutes: float, check_stop: Callable[[], None]) -> None:
    """Return once a folder is available; ``check_stop`` is called before each pause and may raise to end the run.

    Raises:
        ValueError: the folder is still unavailable after that time.
    """
    if not is_unavailable(folder):
        return
    began = time.monotonic()
    where = f"{platform.node()}: {folder}"
    _print(f"{where} cannot be reached: waiting up to {minutes:g} minutes")
    while is_unavailable(folder):
        waited = (time.monotonic() - began) / 60
        if waited >= minutes:
            raise ValueError(
                f"{folder} could not be reached for {waited:.1f} minutes (data.wait_minutes = {minutes:g}): "
                "restore it, then resume with --ckpt_path last"
            )
        check_stop()
        time.sleep(POLL_SECONDS)
    _print(f"{where} is available again after {(time.monotonic() - began) / 60:.1f} minutes: training continues")


def retry_batch(
    missed: dict[str, Any],
    dataset: RetryingDataset,
    collate: Callable[[Any], dict[str, Any]],
    minutes: float,
    check_stop: Callable[[], None],
) -> dict[str, Any]:
    """Read a batch again once its folder is available."""
    while "unavailable" in missed:
        wait_for(Path(missed["unavailable"]), minutes, check_stop)
        missed = collate(dataset.__getitems__([tuple(ref) for ref in missed["refs"]]))
    return missed


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
