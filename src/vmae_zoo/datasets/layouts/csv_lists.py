"""List files: a CSV with a header, and VideoMAE's lists without one.

``csv``: columns ``path`` and any of ``label`` (a name or a number), ``split``, ``start``, ``end`` (seconds), ``group``
(what a clip was cut from), ``split1``, ``split2``, ... (numbered splits); others are ignored. The root is the file, or
a folder with exactly one such file.

``list``: VideoMAE's lines ``path label`` and VideoMAE V2's ``path 0 -1``, separated by spaces, tabs or commas; a path
may be quoted and may contain spaces. The root is the file, or a folder with ``train.csv``, ``val.csv``, ``test.csv``
(or ``.txt``, ``.list``).

Paths are relative to the list's folder, or absolute.
"""

import csv
import re
from pathlib import Path

from vmae_zoo.datasets.layouts.base import SPLITS, Catalog, ClipRecord, Layout, is_video

_LINE = re.compile(r"""^(?P<quote>["']?)(?P<path>.+?)(?P=quote)[\s,]+(?P<label>-?\d+)(?:[\s,]+-?\d+)?$""")
_SUFFIXES = (".csv", ".txt", ".list")


def _header(file: Path) -> list[str]:
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        return [name.strip().lower() for name in next(csv.reader(lines), [])]


def _csv_file(root: Path) -> Path | None:
    files = [root] if root.is_file() else sorted(root.glob("*.csv"))
    files = [file for file in files if file.suffix.lower() == ".csv" and "path" in _header(file)]
    return files[0] if len(files) == 1 else None


def _number(file: Path, line: int, name: str, text: str | None) -> float | None:
    if not text or not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{file}, line {line}: {name} = {text!r} must be a number of seconds") from None


def _read_csv(root: Path, split: int | None) -> Catalog:
    file = _csv_file(root)
    assert file is not None
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
        column = "split" if split is None else f"split{split}"
        if split is not None and column not in reader.fieldnames:
            raise ValueError(f"split = {split}, but {file} has no column {column}: leave it out, or add the column")
        entries = [(reader.line_num, entry) for entry in reader if (entry["path"] or "").strip()]
    names = {(entry.get("label") or "").strip() for _, entry in entries} - {"", "-1"}
    numbered = all(name.isdecimal() for name in names)
    classes = sorted(names, key=int if numbered else None)
    labels = {name: label for label, name in enumerate(classes)}
    records = []
    for line, entry in entries:
        kind = SPLITS.get((entry.get(column) or "train").strip().lower())
        if kind is None:
            raise ValueError(f"{file}, line {line}: {column} = {entry[column]!r} must be train, val or test")
        start, end = (_number(file, line, name, entry.get(name)) for name in ("start", "end"))
        label = labels.get((entry.get("label") or "").strip(), -1)
        group = (entry.get("group") or "").strip()
        records.append(
            ClipRecord.below(file.parent, file.parent / entry["path"].strip(), label, kind, start, end, group)
        )
    return Catalog(root, "csv", classes, records, split)


def _lists(root: Path) -> dict[str, Path]:
    """List files by split."""
    if root.is_file():
        return {"train": root} if root.suffix.lower() in _SUFFIXES and _looks_listed(root) else {}
    files = {
        SPLITS[file.stem.lower()]: file
        for file in sorted(root.iterdir())
        if file.suffix.lower() in _SUFFIXES and file.stem.lower() in SPLITS and file.is_file() and _looks_listed(file)
    }
    return files if "train" in files else {}


def _looks_listed(file: Path) -> bool:
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        first = next((line.strip() for line in lines if line.strip()), "")
    return _LINE.match(first) is not None


def _read_lists(root: Path, split: int | None) -> Catalog:
    found = []
    for kind, file in _lists(root).items():
        for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines(), 1):
            if not line.strip():
                continue
            match = _LINE.match(line.strip())
            if match is None:
                raise ValueError(f"{file}, line {number}: expected a path and a label, found {line.strip()!r}")
            if not is_video(match["path"]):
                raise ValueError(
                    f"{file}, line {number}: {match['path']!r} is not a video file (encode folders of frames as videos)"
                )
            found.append((file.parent / match["path"], int(match["label"]), kind))
    labels = {label for _, label, _ in found if label >= 0}
    known = len(labels) > 1  # a column of zeros is a placeholder
    classes = [str(label) for label in range(max(labels) + 1)] if known else []
    base = root.parent if root.is_file() else root
    records = [ClipRecord.below(base, path, label if known else -1, kind) for path, label, kind in found]
    return Catalog(root, "list", classes, records)


CSV = Layout(
    "csv",
    "one CSV file with a header that names path (and label, split, start, end, group)",
    lambda root: _csv_file(root) is not None,
    _read_csv,
    tuple(range(1, 100)),
)
LIST = Layout(
    "list",
    "train.csv (and val.csv) with lines 'path label', or a list file as root",
    lambda root: bool(_lists(root)),
    _read_lists,
)
