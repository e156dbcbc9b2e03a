"""VideoMAE's lists, which have no header.

Lines ``path label`` and VideoMAE V2's ``path 0 -1``, separated by spaces, tabs, commas or semicolons; a path may be
quoted and may contain spaces; the label is a number or a name, or missing. A header, empty lines and lines that begin
with ``#`` are skipped. The root is the file, or a folder with ``train.csv``, ``val.csv``, ``test.csv`` (or ``.txt``,
``.list``).

Paths are relative to the list's folder, or absolute.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from vmae_zoo.datasets.clip_table import Chunk, ClipTable
from vmae_zoo.datasets.layouts.base import SPLITS, Catalog, Layout, without_missing
from vmae_zoo.datasets.layouts.list_labels import MAX_DIGITS, below, number_labels, with_labels
from vmae_zoo.datasets.layouts.tables import PATH_COLUMNS, first_lines, read_blocks, whole_number
from vmae_zoo.datasets.scan import EXTENSIONS

_VIDEO = "|".join(extension[1:] for extension in EXTENSIONS)
_LINE = re.compile(rf"""^(["']?)(?P<path>.+\.(?:{_VIDEO}))\1(?:[\s,;]+(?P<rest>.*))?$""", re.IGNORECASE)
_PLAIN_LINE = re.compile(rf"""^([^\s"'#\ufeff]\S*\.(?:{_VIDEO})) ([0-9]+)(?: -1)?$""", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+(\.0*)?")
_FOLDER = re.compile(r"^(?P<path>\S.*?)[\s,;]+-?\d+(?:[\s,;]+-?\d+)*$")
_NAMES_VIDEO = re.compile(rf"\.(?:{_VIDEO})\b", re.IGNORECASE)
_SUFFIXES = (".csv", ".tsv", ".txt", ".list", ".lst")
_OTHER_FORMATS = (".json", ".jsonl", ".xlsx", ".xls", ".ods", ".parquet", ".pkl")
_FOLDERS_OF_LISTS = ("annotations", "annotation", "splits", "split", "lists", "list", "labels", "meta", "metadata")
_FAR_APART = 1000  # labels beyond this many classes, of which less than half occur, are numbered anew


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
    folder, texts = str(root.parent if root.is_file() else root), dict[str, int]()

    def read() -> Iterator[Chunk]:
        for kind, file in _lists(root).items():
            line, first = 1, True
            for block in read_blocks(file, "surrogateescape"):
                if entries := _plain_entries(block) or list(_parse_block(file, line, block, first)):
                    names = [below(folder, path) for path, _ in entries]
                    labels = [texts.setdefault(label, len(texts)) for _, label in entries]
                    yield Chunk(names, names, labels, [kind] * len(names), [""] * len(names))
                line, first = line + block.count("\n"), first and not entries

    table = ClipTable.of_chunks(read(), folder)
    return without_missing(Catalog(root, "list", *with_labels(table, texts, _list_labels)))


def _plain_entries(block: str) -> list[tuple[str, str]]:
    """Paths and labels if all lines are ``path label`` or ``path label -1``, as nearly all are; otherwise none.

    `_parse_block` finds the same in several times the time.
    """
    entries = _PLAIN_LINE.findall(block)
    return entries if len(entries) == block.count("\n") + (block[-1] != "\n") else []


def _parse_block(file: Path, line: int, block: str, first: bool) -> Iterator[tuple[str, str]]:
    """Paths and labels of lines; ``first``: a header may come before them."""
    for number, text in enumerate(block.split("\n"), line):
        text = text.strip().removeprefix("\ufeff")
        if not text or (text.startswith("#") and not _LINE.match(text)):
            continue
        if first and (names := re.split(r"[\s,;]+", text))[0].strip("\"'").lower() in PATH_COLUMNS:
            if len(names) > 2:
                raise ValueError(
                    f"{file}, line {number}: the header has {len(names)} columns, but a list has a path and a "
                    "label: put all rows into one CSV file with the columns path, label, split"
                )
        else:
            yield _parse(file, number, text)
        first = False


def _parse(file: Path, number: int, line: str) -> tuple[str, str]:
    """Path and label of a line; "" without a label."""
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
        return match["path"], whole_number(fields[0]) if fields else ""
    values = 1 + rest.count(separator) if separator and separator in ",;\t" and not is_quoted else 1
    if values > 1 or (len(fields) == 2 and _NUMBER.fullmatch(fields[0]) and fields[1].lower() in SPLITS):
        raise ValueError(
            f"{file}, line {number}: {max(values, 2)} values after the path, but a list has one label: write a CSV "
            "file with a header (path, label, split)"
        )
    if re.fullmatch(r"[-+.\d\s,;einfa]+", rest) and _is_number(fields[0]):
        raise ValueError(f"{file}, line {number}: the label {fields[0]!r} must be a whole number or a name")
    return match["path"], rest


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _list_labels(given: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """As `number_labels`, but numbers keep their value, and a column of zeros is a placeholder for no labels."""
    texts = set(given)
    if not all(re.fullmatch(rf"-?\d{{1,{MAX_DIGITS}}}", text) for text in texts - {""}):
        return number_labels(sorted(texts))
    numbers = {int(text) for text in texts if re.fullmatch(r"\d+", text)}
    if len(numbers) < 2:
        return dict.fromkeys(texts, -1), []
    if max(numbers) >= max(2 * len(numbers), _FAR_APART):
        return number_labels(sorted(texts))
    return {text: max(int(text or -1), -1) for text in texts}, [str(label) for label in range(max(numbers) + 1)]


LIST = Layout(
    "list",
    "train.csv (and val.csv) with lines 'path label', or a list file as root",
    lambda root: bool(_lists(root)),
    _read_lists,
)
