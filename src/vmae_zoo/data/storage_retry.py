"""Waiting for a folder of videos that cannot be reached for a while: a lost mount, a server that restarts.

While the folder is away nothing below it can be read, which does not make its videos bad: the worker returns the
references of the clips that it could not read, and the main process waits and reads them itself.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.video.storage import is_remote

POLL_SECONDS = 5.0


class RootUnavailableError(OSError):
    """A folder of videos cannot be reached."""


def required_dirs_of(root: Path, records: Iterable[ClipRecord]) -> tuple[Path, ...]:
    """Folders without which no clip of a data set can be read: the root, and the common folder of videos elsewhere."""
    if is_remote(root):
        return ()
    elsewhere = [record.path.parent for record in records if not record.path.is_relative_to(root)]
    common = [Path(os.path.commonpath(elsewhere))] if elsewhere else []
    return (root, *common) if root.is_dir() else tuple(common)


def is_unavailable(folder: Path) -> bool:
    """Whether a folder cannot be listed or is empty, as a mount point without its mount is."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True


class RetryingDataset(Dataset[list[dict[str, Any]]]):
    """A data set that distinguishes unreadable videos from an unreachable folder.

    Args:
        required_dirs: folders without which nothing below them can be read.
    """

    def __init__(self, required_dirs: Sequence[Path] = ()):
        self.required_dirs = tuple(required_dirs)

    def __getitems__(self, refs: Sequence[tuple[int, ...]]) -> list[list[dict[str, Any]]]:
        """The samples of a batch; or one that holds only "unavailable", the folder, and "refs"."""
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
    """Return once a folder can be reached again.

    Args:
        folder: to wait for.
        minutes: to wait at most.
        check_stop: called between two looks; may raise to end the run.

    Raises:
        ValueError: it did not come back in time.
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
    """Read a batch again once its folder is available.

    Args:
        missed: "unavailable" and "refs".
        dataset: that it is a batch of.
        collate: makes a batch of its samples.
        minutes: to wait at most.
        check_stop: see `wait_for`.
    """
    while "unavailable" in missed:
        wait_for(Path(missed["unavailable"]), minutes, check_stop)
        missed = collate(dataset.__getitems__([tuple(ref) for ref in missed["refs"]]))
    return missed


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
