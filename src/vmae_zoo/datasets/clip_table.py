"""The clips of a data set as columns: arrays instead of objects, which forked worker processes share.

A clip takes the bytes of its path and about 20 more. Rows are read as `ClipRecord`.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from vmae_zoo.datasets.clip_record import ClipRecord, join
from vmae_zoo.datasets.text_column import CHUNK, TextBuilder, TextColumn

SPLIT_NAMES = ("train", "val", "test")


class Row(NamedTuple):
    """What `ClipTable.of` reads of a clip: the fields of a `ClipRecord`."""

    id: str
    file: str
    label: int = -1
    split: str = "train"
    start: float | None = None
    end: float | None = None
    group: str = ""


class Chunk(NamedTuple):
    """Some clips as columns: the fields of a `ClipRecord`; ``segments`` is None if no clip has a start or an end."""

    ids: Sequence[str]
    files: Sequence[str]
    labels: Sequence[int]
    splits: Sequence[str]
    groups: Sequence[str]
    segments: Sequence[tuple[float | None, float | None]] | None = None

    @classmethod
    def of(cls, rows: Sequence[Row | ClipRecord]) -> "Chunk":
        """The columns of rows."""
        segments = [(row.start, row.end) for row in rows]
        return cls(
            [row.id for row in rows],
            [row.file for row in rows],
            [row.label for row in rows],
            [row.split for row in rows],
            [row.group for row in rows],
            segments if any(segment != (None, None) for segment in segments) else None,
        )


class Origin(NamedTuple):
    """The data set that a clip comes from.

    Args:
        folder: that its files are relative to.
        prefix: of its ids.
        stride_frames: distance between frames, if it differs from that of the run.
    """

    folder: str
    prefix: str = ""
    stride_frames: int | None = None


@dataclass(frozen=True, eq=False)
class ClipTable(Sequence[ClipRecord]):
    """Clips of a data set, or of several.

    Args:
        ids: without the prefixes of their origins.
        files: relative to the folders of their origins; the same object as ``ids`` if all are equal.
        labels: int32 (N,); -1 if unknown.
        splits: int8 (N,), position in `SPLIT_NAMES`.
        groups: int32 (N,), position in ``group_names``.
        group_names: "" and the names of the groups.
        origin: int16 (N,), position in ``origins``.
        origins: the data sets that the clips come from.
        segments: float64 (N, 2), start and end in seconds, NaN where none is given; None if no clip has a segment.
    """

    ids: TextColumn
    files: TextColumn
    labels: np.ndarray
    splits: np.ndarray
    groups: np.ndarray
    group_names: Sequence[str]
    origin: np.ndarray
    origins: Sequence[Origin]
    segments: np.ndarray | None = None

    @classmethod
    def of(cls, rows: Iterable[Row | ClipRecord], folder: str | Path = "") -> "ClipTable":
        """The table of clips, whose files may be relative to a folder."""
        iterator = iter(rows)
        return cls.of_chunks((Chunk.of(chunk) for chunk in iter(lambda: list(islice(iterator, CHUNK)), [])), folder)

    @classmethod
    def of_chunks(cls, chunks: Iterable[Chunk], folder: str | Path = "") -> "ClipTable":
        """As `of`, for clips that are columns already."""
        ids, files = TextBuilder(), None
        labels, splits, groups = [np.empty(0, np.int32)], [np.empty(0, np.int8)], [np.empty(0, np.int32)]
        segments, segmented = [np.empty((0, 2))], False
        code, names = {name: number for number, name in enumerate(SPLIT_NAMES)}, {"": 0}
        below = os.path.join(folder, "") if folder else ""
        for chunk in chunks:
            new_files = [file.removeprefix(below) for file in chunk.files]
            if files is None and chunk.ids != new_files:
                files = ids.copy()
            ids.add(chunk.ids)
            if files is not None:
                files.add(new_files)
            labels.append(np.array(chunk.labels, np.int32))
            splits.append(np.array([code[split] for split in chunk.splits], np.int8))
            groups.append(np.array([names.setdefault(group, len(names)) for group in chunk.groups], np.int32))
            segmented |= chunk.segments is not None
            missing = np.broadcast_to(np.nan, (len(chunk.ids), 2))
            segments.append(missing if chunk.segments is None else np.array(chunk.segments, float))  # None becomes NaN
        column = ids.column()
        return cls(
            column,
            column if files is None else files.column(),
            np.concatenate(labels),
            np.concatenate(splits),
            np.concatenate(groups),
            list(names),
            np.zeros(len(column), np.int16),
            [Origin(str(folder))],
            np.concatenate(segments) if segmented else None,
        )

    @classmethod
    def concatenate(cls, tables: Sequence["ClipTable"]) -> "ClipTable":
        """The clips of several tables, one after the other."""
        groups, group_names, origin = [], [""], []
        origins: list[Origin] = []
        for table in tables:
            groups.append(np.where(table.groups, table.groups + (len(group_names) - 1), 0).astype(np.int32))
            origin.append((table.origin + len(origins)).astype(np.int16))
            group_names += table.group_names[1:]
            origins += table.origins
        ids = TextColumn.concatenate([table.ids for table in tables])
        same = all(table.files is table.ids for table in tables)
        segments = [table.segments for table in tables]
        return cls(
            ids,
            ids if same else TextColumn.concatenate([table.files for table in tables]),
            np.concatenate([table.labels for table in tables]),
            np.concatenate([table.splits for table in tables]),
            np.concatenate(groups),
            group_names,
            np.concatenate(origin),
            origins,
            None
            if all(part is None for part in segments)
            else np.concatenate(
                [np.full((len(table), 2), np.nan) if table.segments is None else table.segments for table in tables]
            ),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, row: int) -> ClipRecord: ...
    @overload
    def __getitem__(self, row: slice) -> "ClipTable": ...
    def __getitem__(self, row: int | slice) -> "ClipRecord | ClipTable":
        if isinstance(row, slice):
            return self.take(row)
        origin = self.origins[self.origin[row]]
        start, end = (None, None) if self.segments is None else self.segments[row].tolist()
        return ClipRecord(
            origin.prefix + self.ids[row],
            join(origin.folder, self.files[row]),
            int(self.labels[row]),
            SPLIT_NAMES[self.splits[row]],
            _second(start),
            _second(end),
            self.group_names[self.groups[row]],
            origin.stride_frames,
        )

    def take(self, rows: np.ndarray | slice) -> "ClipTable":
        """Some of the clips; the bytes of texts are shared."""
        ids = self.ids.take(rows)
        return replace(
            self,
            ids=ids,
            files=ids if self.files is self.ids else self.files.take(rows),
            labels=self.labels[rows],
            splits=self.splits[rows],
            groups=self.groups[rows],
            origin=self.origin[rows],
            segments=None if self.segments is None else self.segments[rows],
        )

    def where(self, mask: np.ndarray) -> "ClipTable":
        """The clips at which a mask, bool (N,), is True."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def of_split(self, split: str) -> np.ndarray:
        """Bool (N,): whether a clip is of this split."""
        return self.splits == SPLIT_NAMES.index(split)

    def absolute(self) -> np.ndarray:
        """Bool (N,): whether a file is not relative to a folder of its origin."""
        if os.sep != "/":
            return np.fromiter(map(os.path.isabs, self.files), bool, len(self))
        return self.files.starts_with("/") | np.array([not each.folder for each in self.origins])[self.origin]

    def with_split(self, split: str, rows: Sequence[int] | slice = slice(None)) -> "ClipTable":
        """The same clips, some of which are of another split."""
        splits = self.splits.copy()
        splits[rows] = SPLIT_NAMES.index(split)
        return replace(self, splits=splits)

    def all_ids(self) -> Iterator[str]:
        """The id of every clip."""
        prefixes = [origin.prefix for origin in self.origins]
        if not any(prefixes):
            return iter(self.ids)
        return (prefixes[origin] + name for origin, name in zip(self.origin.tolist(), self.ids, strict=True))

    def all_files(self) -> Iterator[str]:
        """The file of every clip."""
        folders = [origin.folder for origin in self.origins]
        if folders == folders[:1] and os.sep == "/":
            below = os.path.join(folders[0], "")
            return (name if name[0] == "/" else below + name for name in self.files)
        return (join(folders[origin], name) for origin, name in zip(self.origin.tolist(), self.files, strict=True))

    def fingerprint(self) -> str:
        """Hash of ids, labels and segments, in their order; 12 hexadecimal digits."""
        found = hashlib.sha256()
        spans: Iterable[str] = repeat("None None")
        if self.segments is not None:
            starts, ends = np.ascontiguousarray(self.segments.T)
            spans = (f"{_second(start)} {_second(end)}" for start, end in zip(starts.data, ends.data, strict=True))
        clips = zip(self.all_ids(), np.ascontiguousarray(self.labels).data, spans, strict=False)
        lines = (f"{name}\n{label} {span}\n" for name, label, span in clips)
        while chunk := "".join(islice(lines, CHUNK)):
            found.update(chunk.encode(errors="surrogateescape"))
        return found.hexdigest()[:12]


def _second(value: float | None) -> float | None:
    return None if value != value else value  # NaN
