"""``cache``: a data set that `vmae-zoo cache` wrote: the clips of its source, with frames as JPEGs in tar shards.

The manifest ``rows.jsonl`` has one line about the data set, then one line per clip: its numbered split, the record, its
shard and the position there.
"""

import json
import re
from pathlib import Path
from typing import Any

from vmae_zoo.datasets.layouts.base import Catalog, ClipRecord, Layout
from vmae_zoo.video.storage import exists, read

MANIFEST = "rows.jsonl"
FORMAT = "vmae_zoo cache 1"
_SHARD = re.compile(r"shard-\d+\.tar")


def _read(root: Path, split: int | None) -> Catalog:
    records: list[ClipRecord] = []
    file = root / MANIFEST
    lines = read(file).decode().splitlines()
    try:
        head = json.loads(lines[0])
        if head["format"] != FORMAT:
            raise ValueError(f"{file} has the format {head['format']!r}, not {FORMAT!r}: make the cache again")
        layout, classes, splits, left_out = head["layout"], head["classes"], head["splits"], head["left_out"]
    except (IndexError, KeyError, TypeError, json.JSONDecodeError):
        raise _damaged(file, 1) from None
    wanted = splits[0] if split is None else split
    if wanted not in splits:
        choices = ", ".join(map(str, splits)) if splits[0] is not None else "no numbered splits"
        raise ValueError(f"split = {split}, but the cache {root} has {choices}")
    for number, line in enumerate(lines[1:], start=2):
        try:
            line_split, fields, shard, offset, length = json.loads(line)
            if line_split == wanted:
                records.append(_record(root, fields, shard, offset, length))
        except (ValueError, TypeError, KeyError):
            raise _damaged(file, number) from None
    notes = [f"cached from the layout {layout}"]
    if left_out:
        notes.append(f"{left_out} videos could not be cached")
    return Catalog(root, "cache", classes, records, wanted, tuple(notes))


def _record(root: Path, fields: dict[str, Any], shard: str, offset: int, length: int) -> ClipRecord:
    if not _SHARD.fullmatch(shard) or min(int(offset), int(length)) < 0:
        raise ValueError
    return ClipRecord(path=root / shard / f"{int(offset)}+{int(length)}", **fields)  # as `ShardEntry.path`


def _damaged(file: Path, line: int) -> ValueError:
    return ValueError(f"{file} is damaged at line {line}: run `vmae-zoo cache` again to rewrite it")


CACHE = Layout(
    "cache",
    f"{MANIFEST} and tar shards, as `vmae-zoo cache` writes them",
    lambda root: exists(root / MANIFEST),
    _read,
    (1, 2, 3),
)
