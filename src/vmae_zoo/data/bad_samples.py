"""Unreadable videos: noted down, counted, and a reason to stop where there are too many."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from vmae_zoo.data.catalog import Row
from vmae_zoo.data.decode import VideoError, probe

ENOUGH = 100  # videos read before their share counts


class BadSamples:
    """Keeps the list of what this process could not read.

    Args:
        max_share: share of unreadable videos from which a run stops.
        videos: of the data set; the share counts from this many tried, or from `ENOUGH`.
    """

    def __init__(self, max_share: float, videos: int):
        self.max_share = max_share
        self.enough = min(ENOUGH, videos)
        self.tried = 0
        self.count = 0
        self.made_up = 0

    def note(self, entries: Sequence[dict[str, Any]], read: int, file: Path) -> None:
        """Append what a batch could not read.

        Args:
            entries: "path", "reason", "replacement", "epoch" and "key" of each; without a replacement the clip was used
                although the decoder had to make up a part of it, and does not count.
            read: videos that the batch holds; none, and the run stops.
            file: JSON lines.

        Raises:
            ValueError: nothing was readable, or the share is too large.
        """
        self.tried += read
        if not entries:
            return
        replaced = [entry for entry in entries if entry["replacement"]]
        if replaced and not self.count:
            rank_zero_warn(f"{replaced[0]['reason']}: replaced by {replaced[0]['replacement']}; all such are in {file}")
        if len(replaced) < len(entries) and not self.made_up:
            reason = next(entry["reason"] for entry in entries if not entry["replacement"])
            rank_zero_warn(f"{reason}: used all the same (data.refuse_corrupt replaces such); all such are in {file}")
        self.count += len(replaced)
        self.tried += len(replaced)
        self.made_up += len(entries) - len(replaced)
        with suppress(OSError):  # a full disk: no reason to end a run
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as lines:
                lines.writelines(json.dumps(entry) + "\n" for entry in entries)
        if not read:
            raise ValueError(
                f"{len(entries)} videos in a row cannot be read ({entries[-1]['reason']}): all are listed in {file}"
            )
        if self.tried >= self.enough and self.count > self.max_share * self.tried:
            raise ValueError(
                f"{self.count} of {self.tried} videos cannot be read, more than data.max_bad_share = {self.max_share}: "
                f"the files and reasons are in {file}"
            )


def check_readable(rows: Sequence[Row], root: Path, tries: int = 8) -> None:
    """Open a few videos, spread over the rows, until one can be read; ``ValueError`` with a reason where none can."""
    reason = None
    for row in [rows[len(rows) * k // tries] for k in range(tries)]:
        try:
            probe(row.path)
        except VideoError as error:
            reason = reason or error
        else:
            return
    raise ValueError(f"no video of {root} that was tried can be read: {reason}")
