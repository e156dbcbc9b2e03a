"""Reading text files and tables with a header; every error names the file and the line."""

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_DELIMITERS = ",;\t"
_START_BYTES = 1 << 16  # of a file, by which it is recognized
_BLOCK = 1 << 18  # characters that are read at a time
PATH_COLUMNS = ("path", "video", "file", "filename", "file_name", "filepath", "file_path", "video_path", "name", "clip")


class Row(NamedTuple):
    """A row of a table: its line in the file, and its values in the order of the columns, stripped."""

    line: int
    values: list[str]


def read_blocks(file: Path, errors: str = "strict") -> Iterator[str]:
    """The text of a file in UTF-8 or, with a byte order mark, UTF-16, in blocks of whole lines that end with LF.

    Lists of file names, which may be any bytes, are read with ``errors="surrogateescape"``.

    Raises:
        ValueError: the file is in another encoding; the message names the line.
    """
    with file.open("rb") as opened:
        start = opened.read(_START_BYTES)
    encoding = "utf-16" if start[:2] in _UTF16 else "utf-8-sig"
    if b"\0" in start and encoding != "utf-16":
        raise ValueError(f"{file}, line 1: holds zero bytes (UTF-16 without a byte order mark?): save it as UTF-8")
    try:
        with file.open(encoding=encoding, errors=errors) as opened:
            while block := opened.read(_BLOCK) + opened.readline():
                yield block
    except UnicodeDecodeError:
        raise _other_encoding(file, encoding) from None


def read_lines(file: Path, errors: str = "strict") -> Iterator[str]:
    """The lines of a text file, stripped; file and errors as in `read_blocks`."""
    for block in read_blocks(file, errors):
        for line in block.removesuffix("\n").split("\n"):
            yield line.strip().removeprefix("\ufeff")


def _other_encoding(file: Path, encoding: str) -> ValueError:
    data = file.read_bytes()
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return ValueError(
            f"{file}, line {line}: byte 0x{data[error.start]:02x} is not {encoding.removesuffix('-sig').upper()} "
            "(Latin-1?): save the file as UTF-8"
        )
    return ValueError(f"{file} changed while it was read: try again")


def first_lines(file: Path) -> list[str]:
    """The lines at the start of a text file, stripped, without empty lines and comments; none if it is unreadable."""
    try:
        with file.open("rb") as opened:
            start = opened.read(_START_BYTES)
    except OSError:
        return []
    text = start.decode("utf-16" if start[:2] in _UTF16 else "utf-8-sig", "replace").replace("\0", "")
    lines = (line.strip() for line in re.split("\r\n|\n|\r", text.lstrip("\ufeff")))
    return [line for line in lines if line and not line.startswith("#")]


def read_header(file: Path) -> list[str]:
    """The column names of a table in lower case; the values of the first line if it is no header."""
    lines = first_lines(file)
    return _columns(lines[0]) if lines else []


def read_table(file: Path) -> tuple[list[str], Iterator[Row]]:
    """Columns and rows of a table with a header, separated by commas, semicolons or tabs.

    Empty lines and lines that begin with ``#`` are skipped. Missing values at the end of a row are empty.

    Raises:
        ValueError: a row has more values than the header or an open quote, a column is there twice, or the file is in
            an unknown encoding.
    """
    kept = ((number, line) for number, line in enumerate(read_lines(file), 1) if line and not line.startswith("#"))
    number, header = next(kept, (0, ""))
    columns = _columns(header) if header else []
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise ValueError(f"{file}, line {number}: the column {twice[0]} is there twice")
    return columns, _rows(file, kept, columns, _delimiter(header))


def _rows(file: Path, lines: Iterator[tuple[int, str]], columns: list[str], delimiter: str) -> Iterator[Row]:
    width = len(columns)
    for number, line in lines:
        try:
            split = _quoted(line, delimiter) if '"' in line else line.split(delimiter)
        except csv.Error as error:
            raise ValueError(f"{file}, line {number}: {error}: close each quote in its line") from None
        values = [value.strip() for value in split]
        if len(values) != width:
            if any(values[width:]):
                raise ValueError(f"{file}, line {number}: {len(values)} values, but the header has {width} columns")
            values = (values + [""] * width)[:width]
        if any(values):
            yield Row(number, values)


def _quoted(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))


def parse_seconds(file: Path, line: int, name: str, text: str, empty: bool = True) -> float | None:
    """A time in seconds; None for an empty text if ``empty`` allows it; ``ValueError`` for no finite number >= 0."""
    if not text and empty:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{file}, line {line}: {name} = {text!r} must be a number of seconds, 0 or more")
    return seconds


def whole_number(text: str) -> str:
    """``"3"`` for ``"3.0"``; other texts as they are."""
    return text.partition(".")[0] if re.fullmatch(r"-?\d+\.0*", text) else text


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _columns(header: str) -> list[str]:
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=_delimiter(header)), [])]
    if "path" not in names and len(names) > 1 and (other := [name for name in names if name in PATH_COLUMNS]):
        names[names.index(other[0])] = "path"
    return names
