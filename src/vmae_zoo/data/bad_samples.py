"""Unreadable videos: noted down, counted, and a reason to stop where there are too many."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from vmae_zoo.datasets.layouts import ClipRecord
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

    def add(self, entries: Sequence[dict[str, Any]], read: int, file: Path) -> None:
        """Append what a batch could not read.

        Args:
            entries: "path", "reason", "replacement", "epoch" and "key" of each.
            read: videos that the batch holds; none, and the run stops.
            file: JSON lines.

        Raises:
            ValueError: nothing was readable, or the share is too large.
        """
        self.tried += read
        if not entries:
            return
        if not self.unreadable:
            first = entries[0]
            replaced = f"{first['reason']}: replaced by {first['replacement']}"
            rank_zero_warn(f"{replaced}; unreadable videos are listed in {file}")
        before = len(self.unreadable)
        self.unreadable |= {entry["path"] for entry in entries}
        self.tried += len(self.unreadable) - before
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
                f"reasons are in {file}; `vmae-zoo index` finds them, and training then leaves them out"
            )


def check_readable(records: Sequence[ClipRecord], root: Path, tries: int = 8) -> None:
    """Open a few videos, spread over the records, until one can be read; ``ValueError`` if none can."""
    reason = None
    for record in [records[len(records) * k // tries] for k in range(tries)]:
        try:
            probe(record.path)
        except VideoError as error:
            reason = reason or error
        else:
            return
    raise ValueError(f"no video of {root} that was tried can be read: {reason}")
