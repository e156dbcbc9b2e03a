"""Unreadable videos: noted down, counted, and a reason to stop where there are too many."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from vmae_zoo.datasets.layouts import Row
from vmae_zoo.video.decode import VideoError, probe

ENOUGH = 100  # videos read before their share counts


class BadSamples:
    """Keeps the list of what this process could not read.

    Args:
        max_share: share of unreadable videos from which a run stops.
        videos: of the data set; the share counts from this many tried, or from `ENOUGH`. None: each is read once, and
            the share counts from the first.
    """

    def __init__(self, max_share: float, videos: int | None):
        self.max_share = max_share
        self.videos = videos
        self.tried = 0
        self.unreadable: set[str] = set()
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
        if replaced and not self.unreadable:
            rank_zero_warn(f"{replaced[0]['reason']}: replaced by {replaced[0]['replacement']}; all such are in {file}")
        if len(replaced) < len(entries) and not self.made_up:
            reason = next(entry["reason"] for entry in entries if not entry["replacement"])
            rank_zero_warn(f"{reason}: used all the same (data.refuse_corrupt replaces such); all such are in {file}")
        before = len(self.unreadable)
        self.unreadable |= {entry["path"] for entry in replaced}
        self.tried += len(self.unreadable) - before
        self.made_up += len(entries) - len(replaced)
        with suppress(OSError):  # a full disk: no reason to end a run
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as lines:
                lines.writelines(json.dumps(entry) + "\n" for entry in entries)
        if not read:
            raise ValueError(
                f"{len(entries)} videos in a row cannot be read ({entries[-1]['reason']}): all are listed in {file}"
            )
        bad, of = len(self.unreadable), min(self.tried, self.videos or self.tried)
        if self.tried >= min(ENOUGH, self.videos or 1) and bad > self.max_share * of:
            raise ValueError(
                f"{bad} of {of} videos cannot be read, more than data.max_bad_share = {self.max_share}: the files and "
                f"reasons are in {file}; `vmae-zoo index` finds all such, and training leaves them out"
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
