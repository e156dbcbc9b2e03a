"""``cache``: what `vmae-zoo cache` made of another data set: the same clips, their frames as JPEGs in tar shards.

The list of clips is ``rows.jsonl``: a line about all of it, then for each clip its numbered split, the record, its
shard and its place there.
"""

import json
import re
from pathlib import Path
from typing import Any

from vmae_zoo.datasets.layouts.base import Catalog, ClipRecord, Layout
from vmae_zoo.video.storage import exists, read

LIST = "rows.jsonl"
FORMAT = "vmae_zoo cache 1"
_SHARD = re.compile(r"shard-\d+\.tar")


def _read(root: Path, split: int | None) -> Catalog:
    records: list[ClipRecord] = []
    file = root / LIST
    lines = read(file).decode().splitlines()
    try:
        head = json.loads(lines[0])
        if head["format"] != FORMAT:
            raise ValueError(f"{file} is of the format {head['format']!r}, not {FORMAT!r}: make the cache again")
        layout, classes, splits, left_out = head["layout"], head["classes"], head["splits"], head["left_out"]
    except (IndexError, KeyError, TypeError, json.JSONDecodeError):
        raise _damaged(file, 1) from None
    wanted = splits[0] if split is None else split
    if wanted not in splits:
        had = ", ".join(map(str, splits)) if splits[0] is not None else "no numbered splits"
        raise ValueError(f"split = {split}, but the cache {root} has {had}")
    for number, line in enumerate(lines[1:], start=2):
        try:
            of, told, shard, offset, length = json.loads(line)
            if of == wanted:
                records.append(_row(root, told, shard, offset, length))
        except (ValueError, TypeError, KeyError):
            raise _damaged(file, number) from None
    notes = [f"cached from the layout {layout}"]
    if left_out:
        notes.append(f"{left_out} videos could not be cached")
    return Catalog(root, "cache", classes, records, wanted, tuple(notes))


def _row(root: Path, told: dict[str, Any], shard: str, offset: int, length: int) -> ClipRecord:
    if not _SHARD.fullmatch(shard) or min(int(offset), int(length)) < 0:
        raise ValueError
    return ClipRecord(path=Path(f"{root}/{shard}/{int(offset)}+{int(length)}"), **told)  # as `Place.path`


def _damaged(file: Path, line: int) -> ValueError:
    return ValueError(f"{file} is damaged at line {line}: run `vmae-zoo cache` again, which writes it anew")


CACHE = Layout(
    "cache",
    f"{LIST} and tar shards, as `vmae-zoo cache` writes them",
    lambda root: exists(root / LIST),
    _read,
    (1, 2, 3),
)
