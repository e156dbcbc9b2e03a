"""A CSV file with a header.

Columns ``path`` (or ``video``, ``file``, ``filename``) and any of ``label`` (or ``class``, ``category``; a name or a
number; ``label_column`` chooses another column), ``split``, ``start``, ``end`` (seconds), ``group`` (what a clip was
cut from), ``split1``, ``split2``, ... (numbered splits); others are ignored, but refused if they hold splits or
segments under another name. Columns are separated by commas, semicolons or tabs. The root is the file, or a folder
with exactly one such file; without a column ``split``, a file named train, val or test is that split.

Paths are relative to the file's folder, or absolute.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from vmae_zoo.datasets.clip_record import clip_id
from vmae_zoo.datasets.clip_table import ClipTable, Row
from vmae_zoo.datasets.layouts.base import SPLITS, Catalog, Layout, without_missing
from vmae_zoo.datasets.layouts.list_labels import below, number_labels, with_labels
from vmae_zoo.datasets.layouts.tables import parse_seconds, read_header, read_table

_LABELS = ("label", "class", "category", "class_name")
_SEGMENT = re.compile(r"(time_?)?(start|end|begin|stop)s?(_?(time|sec|seconds|s|frame|idx))?")
_OWN_SPLITS = ("is_train", "is_val", "is_test")
_ROWS_CHECKED = 1000  # for columns that are not read


def _csv_file(root: Path) -> Path | None:
    files = [root] if root.is_file() else sorted(root.glob("*.[ct]sv"))
    files = [file for file in files if file.suffix.lower() in (".csv", ".tsv") and "path" in read_header(file)]
    return files[0] if len(files) == 1 else None


def read_csv(root: Path, split: int | None, label_column: str | None = None) -> Catalog:
    """The catalog of a CSV file; `ValueError` names the file and what is wrong in it."""
    file = _csv_file(root)
    assert file is not None
    columns, rows = read_table(file)
    column = "split" if split is None else f"split{split}"
    if split is not None and column not in columns:
        raise ValueError(f"split = {split}, but {file} has no column {column}: leave it out, or add the column")
    wanted = (label_column or next((name for name in _LABELS if name in columns), "label")).strip().lower()
    if label_column and wanted not in columns:
        raise ValueError(
            f"label_column = {label_column!r}, but {file} has no such column: choose one of {', '.join(columns)}"
        )
    _refuse_ignored_columns(file, {"path", wanted, "start", "end", "group"})
    at = {name: place for place, name in enumerate(columns)}
    path, label = at["path"], at.get(wanted)
    places = [at.get(name) for name in (column, "start", "end", "group")]
    default = SPLITS.get(file.stem.lower(), "train") if root.is_dir() else "train"
    folder, texts = str(file.parent), dict[str, int]()  # texts of labels, in the order of their first use

    def read() -> Iterator[Row]:
        for line, values in rows:
            if not values[path]:
                continue
            split_name, start_text, end_text, group = ("" if place is None else values[place] for place in places)
            kind = SPLITS.get((split_name or default).lower())
            if kind is None:
                raise ValueError(f"{file}, line {line}: {column} = {split_name!r} must be train, val or test")
            start, end = parse_seconds(file, line, "start", start_text), parse_seconds(file, line, "end", end_text)
            if end is not None and end <= (start or 0):
                raise ValueError(f"{file}, line {line}: end = {end:g} must be after start = {start or 0:g}")
            number = texts.setdefault("" if label is None else values[label], len(texts))
            name = below(folder, values[path])
            yield Row(clip_id(name, start, end), name, number, kind, start, end, group)

    table = ClipTable.of(read(), folder)
    return without_missing(Catalog(root, "csv", *with_labels(table, texts, number_labels), split))


def _refuse_ignored_columns(file: Path, read: set[str]) -> None:
    """``ValueError`` for a column that is not read, but holds splits or segments by its name or values."""
    columns, rows = read_table(file)
    values: list[set[str]] = [set() for _ in columns]
    for row in islice(rows, _ROWS_CHECKED):
        for value, found in zip(row.values, values, strict=True):
            found.add(value.lower())
    has_splits = any(re.fullmatch(r"split\d*", name) for name in columns)
    for name, found in zip(columns, values, strict=True):
        if name in read:
            continue
        if not has_splits and (name in _OWN_SPLITS or (found - {""} and found - {""} <= set(SPLITS))):
            raise ValueError(f"{file}: the column {name} is not read: name it split, with the values train, val, test")
        if _SEGMENT.fullmatch(name) and not {"start", "end"} & set(columns):
            raise ValueError(f"{file}: the column {name} is not read: segments are columns start and end, in seconds")


CSV = Layout(
    "csv",
    "one CSV file with a header that names path (and label, split, start, end, group)",
    lambda root: _csv_file(root) is not None,
    read_csv,
    tuple(range(1, 100)),
)
