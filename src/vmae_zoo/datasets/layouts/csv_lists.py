"""List files: a CSV with a header, and VideoMAE's lists without one.

``csv``: columns ``path`` (or ``video``, ``file``, ``filename``) and any of ``label`` (or ``class``, ``category``; a
name or a number; ``label_column`` chooses another column), ``split``, ``start``, ``end`` (seconds), ``group`` (what a
clip was cut from), ``split1``, ``split2``, ... (numbered splits); others are ignored, but refused if they hold splits
or segments under another name. Columns are separated by commas, semicolons or tabs. The root is the file, or a folder
with exactly one such file; without a column ``split``, a file named train, val or test is that split.

``list``: VideoMAE's lines ``path label`` and VideoMAE V2's ``path 0 -1``, separated by spaces, tabs, commas or
semicolons; a path may be quoted and may contain spaces; the label is a number or a name, or missing. A header, empty
lines and lines that begin with ``#`` are skipped. The root is the file, or a folder with ``train.csv``, ``val.csv``,
``test.csv`` (or ``.txt``, ``.list``).

Paths are relative to the list's folder, or absolute.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmae_zoo.datasets.clip_record import clip_id, join, relative_name
from vmae_zoo.datasets.clip_table import ClipTable, Row
from vmae_zoo.datasets.layouts.base import EXTENSIONS, SPLITS, Catalog, Layout, without_missing
from vmae_zoo.datasets.layouts.tables import (
    PATH_COLUMNS,
    first_lines,
    parse_seconds,
    read_header,
    read_lines,
    read_table,
    whole_number,
)

_VIDEO = "|".join(extension[1:] for extension in EXTENSIONS)
_LINE = re.compile(rf"""^(["']?)(?P<path>.+\.(?:{_VIDEO}))\1(?:[\s,;]+(?P<rest>.*))?$""", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(\.0*)?")
_FOLDER = re.compile(r"^(?P<path>\S.*?)[\s,;]+-?\d+(?:[\s,;]+-?\d+)*$")
_NAMES_VIDEO = re.compile(rf"\.(?:{_VIDEO})\b", re.IGNORECASE)
_SUFFIXES = (".csv", ".tsv", ".txt", ".list", ".lst")
_OTHER_FORMATS = (".json", ".jsonl", ".xlsx", ".xls", ".ods", ".parquet", ".pkl")
_FOLDERS_OF_LISTS = ("annotations", "annotation", "splits", "split", "lists", "list", "labels", "meta", "metadata")
_LABELS = ("label", "class", "category", "class_name")
_SEGMENT = re.compile(r"(time_?)?(start|end|begin|stop)s?(_?(time|sec|seconds|s|frame|idx))?")
_OWN_SPLITS = ("is_train", "is_val", "is_test")
_ROWS_CHECKED = 1000  # for columns that are not read
_MAX_DIGITS = 15  # of a label that is taken for a number
_FAR_APART = 1000  # labels beyond this many classes, of which less than half occur, are numbered anew


class _Entry(NamedTuple):
    path: str
    label: str  # "" without a label


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
            name = _below(folder, values[path])
            yield Row(clip_id(name, start, end), name, number, kind, start, end, group)

    table = ClipTable.of(read(), folder)
    return without_missing(Catalog(root, "csv", *_with_labels(table, texts, _number_labels), split))


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


def _below(folder: str, path: str) -> str:
    """A listed path relative to the folder of the list, or as it is if it is elsewhere."""
    if path[:1] != "/" and "//" not in path and "./" not in path and os.sep == "/":
        return path
    return relative_name(folder, join(folder, path))


def _with_labels(
    table: ClipTable, texts: dict[str, int], number: Callable[[Iterable[str]], tuple[dict[str, int], list[str]]]
) -> tuple[list[str], ClipTable]:
    """The classes of a list, and its clips with labels instead of the positions of their texts."""
    labels, classes = number(texts)
    of_text = np.array([labels[text] for text in texts], np.int32)
    return classes, replace(table, labels=of_text[table.labels])


def _number_labels(texts: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Label of each text, -1 for "" and "-1", and the names of the classes: sorted, numbers by value."""
    plain = {text: whole_number(text) for text in dict.fromkeys(texts)}
    names = set(plain.values()) - {"", "-1"}
    numbered = all(name.isdecimal() and len(name) <= _MAX_DIGITS for name in names)
    classes = sorted(names, key=int if numbered else None)
    numbers = {name: label for label, name in enumerate(classes)}
    return {text: numbers.get(name, -1) for text, name in plain.items()}, classes


def _lists(root: Path) -> dict[str, Path]:
    """List files by split."""
    if root.is_file():
        return {"train": root} if root.suffix.lower() in _SUFFIXES and _looks_listed(root) else {}
    files: dict[str, Path] = {}
    named = [file for file in _candidates(root) if file.stem.lower() in SPLITS]
    for file in named:
        split = SPLITS[file.stem.lower()]
        if _looks_listed(file) and (other := files.setdefault(split, file)) != file:
            raise ValueError(f"{other} and {file} both list the {split} split: remove one of them")
    if files and "train" not in files:
        file = next(iter(files.values()))
        raise ValueError(f"{file} lists videos, but {root} has no train list: add one, or give the list file as root")
    if files and (others := [file for file in named if file not in files.values()]):
        raise ValueError(f"{others[0]} is named as a list, but names no videos: fill, rename or remove it")
    return files


def _candidates(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.suffix.lower() in _SUFFIXES and file.name[0] != "."]


def refuse_ignored_lists(root: Path) -> None:
    """``ValueError`` if a folder has a file that lists videos, which its layout would ignore."""
    others = [folder for name in _FOLDERS_OF_LISTS if (folder := root / name).is_dir()]
    for file in (file for folder in (root, *others) for file in _candidates(folder) if _looks_listed(file)):
        raise ValueError(
            f"{file} lists videos, but has neither a header with the column path nor the name train, val or test "
            f"in {root}: give it as root, or data.layout folder (or flat) to ignore it"
        )
    for file in sorted(root.iterdir()):
        if file.stem.lower() in SPLITS and file.suffix.lower() in _OTHER_FORMATS:
            raise ValueError(
                f"{file} is named as a list, but {file.suffix} is not read: write a CSV file with the columns path, "
                "label, split, or give data.layout folder (or flat) to ignore it"
            )


def _looks_listed(file: Path) -> bool:
    """Whether most of the first lines of a file name a video or, in a list by name, a frame folder."""
    if not file.is_file():
        return False
    lines = first_lines(file)[:50]
    named = file.stem.lower() in SPLITS
    hits = sum(bool(_NAMES_VIDEO.search(line)) or (named and bool(_FOLDER.match(line))) for line in lines)
    return 2 * hits >= len(lines) > 0 < hits


def _read_lists(root: Path, split: int | None) -> Catalog:
    base, texts = str(root.parent if root.is_file() else root), dict[str, int]()

    def read() -> Iterator[Row]:
        for kind, file in _lists(root).items():
            first = True
            for number, line in enumerate(read_lines(file, "surrogateescape"), 1):
                path, *rest = line.split(" ")
                if _is_plain(path, rest):
                    label = rest[0]
                elif not line or (line.startswith("#") and not _LINE.match(line)):
                    continue
                elif first and (names := re.split(r"[\s,;]+", line))[0].strip("\"'").lower() in PATH_COLUMNS:
                    if len(names) > 2:
                        raise ValueError(
                            f"{file}, line {number}: the header has {len(names)} columns, but a list has a path and a "
                            "label: put all rows into one CSV file with the columns path, label, split"
                        )
                    first = False
                    continue
                else:
                    path, label = _parse(file, number, line)
                first, name = False, _below(base, path)
                yield Row(name, name, texts.setdefault(label, len(texts)), kind)

    table = ClipTable.of(read(), base)
    return without_missing(Catalog(root, "list", *_with_labels(table, texts, _list_labels)))


def _is_plain(path: str, rest: list[str]) -> bool:
    """Whether a line is ``path label`` or ``path label -1`` without quotes, as nearly all are; `_parse` reads all."""
    if not rest or not rest[0].isdecimal() or not rest[0].isascii() or rest[1:] not in ([], ["-1"]):
        return False
    return path.endswith(EXTENSIONS) and not path.startswith(("'", '"', "#"))


def _parse(file: Path, number: int, line: str) -> _Entry:
    match = _LINE.match(line)
    if match is None:
        folder = _FOLDER.match(line)
        if folder:
            raise ValueError(
                f"{file}, line {number}: {folder['path']!r} is not a video file (encode folders of frames as videos)"
            )
        raise ValueError(f"{file}, line {number}: expected a path and a label, found {line!r}")
    rest = (match["rest"] or "").strip(" \t,;")
    separator = line[match.end("path") + len(match[1]) :].strip(" ")[:1]
    is_quoted, rest = rest[:1] in ("'", '"'), rest.strip("\"'")
    fields = re.split(r"[\s,;]+", rest) if rest else []
    if all(_NUMBER.fullmatch(field) for field in fields):
        if len(fields) > 2 or (len(fields) == 2 and fields[1] != "-1"):
            raise ValueError(
                f"{file}, line {number}: {len(fields)} numbers after the path: give one label (or V2's '0 -1'); "
                "segments need a CSV with the columns path, label, start, end"
            )
        return _Entry(match["path"], whole_number(fields[0]) if fields else "")
    values = 1 + rest.count(separator) if separator and separator in ",;\t" and not is_quoted else 1
    if values > 1 or (len(fields) == 2 and _NUMBER.fullmatch(fields[0]) and fields[1].lower() in SPLITS):
        raise ValueError(
            f"{file}, line {number}: {max(values, 2)} values after the path, but a list has one label: write a CSV "
            "file with a header (path, label, split)"
        )
    if re.fullmatch(r"[-+.\d\s,;einfa]+", rest) and _is_number(fields[0]):
        raise ValueError(f"{file}, line {number}: the label {fields[0]!r} must be a whole number or a name")
    return _Entry(match["path"], rest)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _list_labels(given: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """As `_number_labels`, but numbers keep their value, and a column of zeros is a placeholder for no labels."""
    texts = set(given)
    if not all(re.fullmatch(rf"-?\d{{1,{_MAX_DIGITS}}}", text) for text in texts - {""}):
        return _number_labels(sorted(texts))
    numbers = {int(text) for text in texts if re.fullmatch(r"\d+", text)}
    if len(numbers) < 2:
        return dict.fromkeys(texts, -1), []
    if max(numbers) >= max(2 * len(numbers), _FAR_APART):
        return _number_labels(sorted(texts))
    return {text: max(int(text or -1), -1) for text in texts}, [str(label) for label in range(max(numbers) + 1)]


CSV = Layout(
    "csv",
    "one CSV file with a header that names path (and label, split, start, end, group)",
    lambda root: _csv_file(root) is not None,
    read_csv,
    tuple(range(1, 100)),
)
LIST = Layout(
    "list",
    "train.csv (and val.csv) with lines 'path label', or a list file as root",
    lambda root: bool(_lists(root)),
    _read_lists,
)
