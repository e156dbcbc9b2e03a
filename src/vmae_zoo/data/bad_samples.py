"""Unreadable videos: logged, counted, and a reason to stop the run if there are too many."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from vmae_zoo.data.reader import VideoReader
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.video.decode import VideoError

BAD_SAMPLES = "bad_samples.jsonl"  # in the run folder
MAX_LINES = 50  # of the report
MIN_TRIED = 100  # videos to read before the share of unreadable ones is checked
OPENED = 8  # videos at most, before training


class BadSamples:
    """The unreadable videos of this process.

    Args:
        max_share: largest fraction of unreadable videos; above it the run stops.
        videos: number of videos of the data set; the fraction is checked once that many, or `MIN_TRIED`, were read.
            None: each video is read once, and the fraction is checked from the first on.
    """

    def __init__(self, max_share: float, videos: int | None):
        self.max_share = max_share
        self.videos = videos
        self.tried = 0
        self.unreadable: dict[str, str] = {}  # path -> reason
        self._reported = False

    def add(self, entries: Sequence[dict[str, Any]], read: int, file: Path) -> None:
        """Log the unreadable videos of a batch that has ``read`` readable ones, as JSON lines.

        Raises:
            ValueError: no video of the batch was readable, or too many videos are unreadable.
        """
        self.tried += read
        if not entries:
            return
        if not self.unreadable:
            first = entries[0]
            replaced = f"{first['reason']}: replaced by {first['replacement']}"
            rank_zero_warn(f"{replaced}; unreadable videos are listed in {file}")
        before = len(self.unreadable)
        self.unreadable |= {entry["path"]: entry["reason"] for entry in entries}
        self.tried += len(self.unreadable) - before
        with suppress(OSError):  # a full disk does not end the run
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as lines:
                lines.writelines(json.dumps(entry) + "\n" for entry in entries)
        if not read:
            raise ValueError(
                f"{len(entries)} videos in a row cannot be read ({entries[-1]['reason']}): all are listed in {file}"
            )
        bad, of = len(self.unreadable), self._videos_read
        if self.tried >= min(MIN_TRIED, self.videos or 1) and bad > self.max_share * of:
            raise ValueError(
                f"{bad} of {of} videos cannot be read, more than data.max_bad_share = {self.max_share}: the files and "
                f"reasons are in {file}; `vmae-zoo index` finds them, and training then leaves them out"
            )

    @property
    def _videos_read(self) -> int:
        return min(self.tried, self.videos or self.tried)

    def report(self, file: Path) -> None:
        """Print a line for each unreadable video, with its reason, and their number; once."""
        if not self.unreadable or self._reported:
            return
        self._reported = True
        lines = [f"unreadable: {reason}" for reason in list(self.unreadable.values())[:MAX_LINES]]
        more = f", the first {MAX_LINES} are above" if len(self.unreadable) > MAX_LINES else ""
        lines.append(f"{len(self.unreadable)} of {self._videos_read} videos could not be read{more}; all are in {file}")
        print("\n".join(lines), flush=True)


def check_readable(records: Sequence[ClipRecord], root: Path, reader: VideoReader) -> None:
    """Open a few videos, spread over the records, until one can be read; ``ValueError`` if none can."""
    reason = None
    for record in [records[len(records) * k // OPENED] for k in range(OPENED)]:
        try:
            reader.probe(record.path)
        except VideoError as error:
            reason = reason or error
        else:
            return
    raise ValueError(f"none of {OPENED} videos of {root} can be read: {reason}")
