"""Catalogs and layouts, and which listed videos exist."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vmae_zoo.datasets.clip_record import ClipRecord
from vmae_zoo.datasets.clip_table import SPLIT_NAMES, ClipTable
from vmae_zoo.datasets.text_column import hashes, is_in
from vmae_zoo.video.storage import url_of

SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Catalog:
    """The clips of a data set.

    Args:
        root: folder or list file.
        layout: name of its layout.
        classes: names of the classes, in the order of their labels; empty without labels.
        records: all clips of all splits.
        split: numbered split of the layout; None if it has no numbered splits.
        notes: remarks for the user, a clause each.
        missing: listed videos that do not exist.
    """

    root: Path
    layout: str
    classes: list[str]
    records: ClipTable
    split: int | None = None
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def of(self, split: str) -> ClipTable:
        """Records of one split: "train", "val" or "test"."""
        return self.records.where(self.records.of_split(split))

    def describe(self) -> str:
        """One line: layout, classes, number of clips per split, notes."""
        which = "" if self.split is None else f" (split {self.split})"
        notes = list(self.notes)
        if self.records.of_split("train").all():
            notes.append(
                "no validation split, so training runs without a validation set (data.val_share 0.2 holds one out)"
            )
        what = f"layout {self.layout}{which}, {format_classes(self.classes)}, clips: {self.counts()}"
        return "; ".join([f"{url_of(self.root)}: {what}", *notes])

    def counts(self) -> str:
        """``3570 train, 1530 val``."""
        counts = np.bincount(self.records.splits, minlength=len(SPLIT_NAMES))
        return ", ".join(f"{count} {name}" for name, count in zip(SPLIT_NAMES, counts, strict=True) if count)


@dataclass(frozen=True)
class Layout:
    """How a kind of data set is stored on disk.

    Args:
        name: value of ``layout=``.
        expects: files it consists of, a clause for error messages.
        found: whether a root has this layout.
        read: catalog of a root and a numbered split; ``ValueError`` if a file is invalid.
        splits: its numbered splits; empty if it has none.
    """

    name: str
    expects: str
    found: Callable[[Path], bool]
    read: Callable[[Path, int | None], Catalog]
    splits: tuple[int, ...] = ()


def format_classes(classes: Sequence[str], most: int = 4) -> str:
    """``3 classes (a, b, c)``, abbreviated if there are more than ``most``."""
    if not classes:
        return "no labels"
    shown = list(classes) if len(classes) <= most else [*classes[: most - 1], "...", classes[-1]]
    return f"{len(classes)} classes ({', '.join(shown)})"


def subfolders(folder: Path) -> list[Path]:
    """The subfolders of a folder, sorted, without hidden ones; empty if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def without_unlabeled(catalog: Catalog) -> Catalog:
    """The catalog without clips that have no label, and with a note about them; as it is if it has no classes."""
    labeled = catalog.records.where(catalog.records.labels >= 0)
    left_out = len(catalog.records) - len(labeled)
    if not catalog.classes or not left_out:
        return catalog
    note = f"{left_out} of {len(catalog.records)} clips have no label and are left out"
    return replace(catalog, records=labeled, notes=(*catalog.notes, note))


def without_missing(catalog: Catalog) -> Catalog:
    """The catalog of a list without videos that do not exist, with a note; ``ValueError`` if none exists.

    Each folder is listed once, which takes less time than a query for each file.
    """
    records = catalog.records
    folders = set[str]()
    listed = hashes(_with_folders(records.all_files(), folders), len(records))
    found = is_in(listed, hashes(f"{folder}{os.sep}{name}" for folder in folders for name in _names(folder)))
    absent = np.flatnonzero(~found)
    found[absent] = [os.path.lexists(file) for file in records.take(absent).all_files()]
    if found.all():
        return catalog
    missing = list(records.where(~found).all_ids())
    records = records.where(found)
    notes = (*catalog.notes, *missing_note(missing, len(catalog.records), catalog.root))
    return replace(catalog, records=records, notes=notes, missing=tuple(missing))


def _with_folders(files: Iterable[str], folders: set[str]) -> Iterator[str]:
    """The files as they are; their folders are added to ``folders``."""
    for file in files:
        folders.add(file[: file.rfind(os.sep)])
        yield file


def _names(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder or os.sep) as entries:
            yield from (entry.name for entry in entries)
    except (OSError, ValueError):  # a list may name anything
        return


def listed_catalog(
    root: Path,
    layout: str,
    classes: list[str],
    entries: Iterable[tuple[str, str | None, int, str]],
    split: int | None = None,
) -> Catalog:
    """The catalog of listed clips whose videos exist, with a note about the others; ``ValueError`` if none exists.

    Args:
        root: folder of the data set.
        layout: name of its layout.
        classes: names of the classes.
        entries: listed name, video (None if it does not exist), label and split of each clip.
        split: numbered split.
    """
    entries = list(entries)
    records = ClipTable.of(
        (ClipRecord.below(root, path, label, kind) for _, path, label, kind in entries if path is not None), root
    )
    missing = tuple(name for name, path, _, _ in entries if path is None)
    return Catalog(root, layout, classes, records, split, missing_note(missing, len(entries), root), missing)


def missing_note(missing: Sequence[str], listed: int, root: Path) -> tuple[str, ...]:
    """A note about listed files that do not exist; ``ValueError`` if none exists."""
    if listed and len(missing) == listed:
        raise ValueError(f"none of the {listed} listed videos is below {root}, for example {missing[0]}: check root")
    return (f"{len(missing)} of {listed} listed videos are missing, for example {missing[0]}",) if missing else ()
