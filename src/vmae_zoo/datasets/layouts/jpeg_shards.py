"""``cache``: a data set that `vmae-zoo cache` wrote: the clips of its source, with frames as JPEGs in tar shards.

The manifest ``rows.jsonl`` has one line about the data set, then one line per clip: its numbered split, the record, its
shard and the position there.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmae_zoo.datasets.clip_record import ClipRecord
from vmae_zoo.datasets.clip_table import ClipTable
from vmae_zoo.datasets.layouts.base import SPLITS, Catalog, Layout
from vmae_zoo.video.storage import exists, url_of
from vmae_zoo.video.storage import read as read_file

MANIFEST = "rows.jsonl"
FORMAT = "vmae_zoo cache 1"
_MAX_BYTES = 1 << 62  # of a shard
_SHARD = re.compile(r"shard-\d+\.tar")


def _read(root: Path, split: int | None) -> Catalog:
    file = root / MANIFEST
    lines = read_file(file).decode().splitlines()
    try:
        head = json.loads(lines[0])
        if head["format"] != FORMAT:
            raise ValueError(f"{file} has the format {head['format']!r}, not {FORMAT!r}: make the cache again")
        layout, classes, splits, left_out = head["layout"], head["classes"], head["splits"], head["left_out"]
    except (IndexError, KeyError, TypeError, RecursionError, json.JSONDecodeError):
        raise _damaged(file, 1) from None
    wanted = splits[0] if split is None else split
    if wanted not in splits:
        choices = ", ".join(map(str, splits)) if splits[0] is not None else "no numbered splits"
        raise ValueError(f"split = {split}, but the cache {url_of(root)} has {choices}")

    def read() -> Iterator[ClipRecord]:
        for number, line in enumerate(lines[1:], start=2):
            try:
                line_split, fields, shard, offset, length = json.loads(line)
                if line_split == wanted:
                    yield _record(root, fields, len(classes), shard, offset, length)
            except (ValueError, TypeError, KeyError, RecursionError):
                raise _damaged(file, number) from None

    notes = [f"cached from the layout {layout}"]
    if left_out:
        notes.append(f"{left_out} videos could not be cached")
    return Catalog(root, "cache", classes, ClipTable.of(read(), root), wanted, tuple(notes))


def _record(root: Path, fields: dict[str, Any], classes: int, shard: str, offset: int, length: int) -> ClipRecord:
    if not _SHARD.fullmatch(shard) or not 0 <= int(offset) < _MAX_BYTES or not 0 <= int(length) < _MAX_BYTES:
        raise ValueError
    record = ClipRecord(file=f"{root}/{shard}/{int(offset)}+{int(length)}", **fields)  # as `ShardEntry.path`
    times = [seconds for seconds in (record.start, record.end) if seconds is not None]
    if (
        not isinstance(record.id, str)
        or record.split not in SPLITS.values()
        or not isinstance(record.label, int)
        or not -1 <= record.label < max(classes, 0)
        or not all(isinstance(seconds, int | float) and 0 <= seconds < math.inf for seconds in times)
    ):
        raise ValueError
    return record


def _damaged(file: Path, line: int) -> ValueError:
    return ValueError(f"{file} is damaged at line {line}: run `vmae-zoo cache` again to rewrite it")


CACHE = Layout(
    "cache",
    f"{MANIFEST} and tar shards, as `vmae-zoo cache` writes them",
    lambda root: exists(root / MANIFEST),
    _read,
    (1, 2, 3),
)
