"""A data folder that is gone for a while: a mount that vanished, a server that restarts.

Nothing below it can be read, which says nothing about the videos: the loader hands on which clips it wanted, and the
main process waits for the folder and reads them itself.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from vmae_zoo.datasets.layouts import Row
from vmae_zoo.video.storage import is_remote

POLL_SECONDS = 5.0


class GoneError(OSError):
    """A folder of videos cannot be reached."""


def anchors_of(root: Path, rows: Iterable[Row]) -> tuple[Path, ...]:
    """Folders without which no row of a data set can be read: the root, and what rows elsewhere have in common."""
    if is_remote(root):
        return ()
    elsewhere = [row.path.parent for row in rows if not row.path.is_relative_to(root)]
    common = [Path(os.path.commonpath(elsewhere))] if elsewhere else []
    return (root, *common) if root.is_dir() else tuple(common)


def gone(folder: Path) -> bool:
    """Whether a folder that held videos cannot be listed or is empty, as a mount point without its mount is."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True


class Patient(Dataset[list[dict[str, Any]]]):
    """A data set that tells bad videos from folders that are gone.

    Args:
        anchors: folders without which nothing below them can be read.
    """

    def __init__(self, anchors: Sequence[Path] = ()):
        self.anchors = tuple(anchors)

    def __getitems__(self, places: Sequence[tuple[int, ...]]) -> list[list[dict[str, Any]]]:
        """The samples of a batch, or one that holds nothing but "gone", the folder, and "places"."""
        try:
            return [self[place] for place in places]
        except GoneError as error:
            return [[{"gone": str(error), "places": list(places)}]]

    def check_there(self, path: Path) -> None:
        """``GoneError`` where a folder that a file lies in is gone."""
        for anchor in self.anchors:
            if path.is_relative_to(anchor) and gone(anchor):
                raise GoneError(str(anchor))


def wait_for(folder: Path, minutes: float, heed: Callable[[], None]) -> None:
    """Return once a folder is there again.

    Args:
        folder: that is gone.
        minutes: to wait at most.
        heed: called now and then; may raise, where the run was told to end.

    Raises:
        ValueError: it did not come back in time.
    """
    began = time.monotonic()
    where = f"{platform.node()}: {folder}"
    _say(f"{where} cannot be reached: waiting up to {minutes:g} minutes for it")
    while gone(folder):
        waited = (time.monotonic() - began) / 60
        if waited >= minutes:
            raise ValueError(
                f"{folder} cannot be reached for {waited:.1f} minutes (data.wait_minutes = {minutes:g}): "
                "mend it, then go on with --ckpt_path last"
            )
        heed()
        time.sleep(POLL_SECONDS)
    _say(f"{where} is back after {(time.monotonic() - began) / 60:.1f} minutes: training goes on")


def read_again(
    missed: dict[str, Any],
    dataset: Patient,
    collate: Callable[[Any], dict[str, Any]],
    minutes: float,
    heed: Callable[[], None],
) -> dict[str, Any]:
    """The batch that could not be read while its folder was gone, once it is back.

    Args:
        missed: "gone" and "places".
        dataset: that it is a batch of.
        collate: makes a batch of its samples.
        minutes: to wait at most.
        heed: as of `wait_for`.
    """
    while "gone" in missed:
        wait_for(Path(missed["gone"]), minutes, heed)
        missed = collate(dataset.__getitems__([tuple(place) for place in missed["places"]]))
    return missed


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
