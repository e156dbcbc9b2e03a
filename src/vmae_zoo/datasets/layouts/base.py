"""What a catalog holds, and how the files of a folder are found."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

EXTENSIONS = (
    ".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv", ".m2ts", ".mts",
)  # fmt: skip
SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class ClipRecord:
    """One clip of a data set.

    Args:
        id: path relative to the root with forward slashes, and its segment; the same on every machine, the seed of the
            clip's keys.
        path: the video file.
        label: number of its class, -1 where unknown.
        split: "train", "val" or "test".
        start: first second of the segment, None from the beginning.
        end: last second of the segment, None to the end.
        group: what it was cut from, where a table says so: clips of one group train or choose, never both.
        stride_frames: distance of its frames where it differs from others', None otherwise.
    """

    id: str
    path: Path
    label: int = -1
    split: str = "train"
    start: float | None = None
    end: float | None = None
    group: str = ""
    stride_frames: int | None = None

    @classmethod
    def below(
        cls,
        root: Path,
        path: Path,
        label: int = -1,
        split: str = "train",
        start: float | None = None,
        end: float | None = None,
        group: str = "",
    ) -> "ClipRecord":
        """A record whose id is its place below the root, or its full path where it lies elsewhere."""
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        if start is not None or end is not None:
            name += f"#{'' if start is None else format(start, 'g')}-{'' if end is None else format(end, 'g')}"
        return cls(name, path, label, split, start, end, group)


@dataclass(frozen=True)
class Catalog:
    """The clips of a data set.

    Args:
        root: its folder, or its list file.
        layout: name of the layout it was read as.
        classes: names of the classes, in the order of their labels; empty where nothing is labelled.
        records: all clips of all splits.
        split: which of the layout's splits this is, None where it has only one.
        notes: what the user should know, a clause each.
        missing: names of videos that its lists name and that are not there.
    """

    root: Path
    layout: str
    classes: list[str]
    records: list[ClipRecord]
    split: int | None = None
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def of(self, split: str) -> list[ClipRecord]:
        """The records of "train", "val" or "test"."""
        return [record for record in self.records if record.split == split]

    def describe(self) -> str:
        """One line: layout, classes, clips of each split and what is odd about them."""
        which = "" if self.split is None else f" (split {self.split})"
        notes = list(self.notes)
        if all(record.split == "train" for record in self.records):
            notes.append("no validation split, so training runs without a validation set")
        what = f"layout {self.layout}{which}, {named(self.classes)}, clips: {self.counts()}"
        return "; ".join([f"{self.root}: {what}", *notes])

    def counts(self) -> str:
        """``3570 train, 1530 val``."""
        counts = Counter(record.split for record in self.records)
        return ", ".join(f"{counts[name]} {name}" for name in ("train", "val", "test") if counts[name])


@dataclass(frozen=True)
class Layout:
    """How one kind of data set lies on disk.

    Args:
        name: what ``layout=`` calls it.
        expects: what has to be there, a clause for error messages.
        found: whether a root looks like it.
        read: the catalog of a root and a split; ``ValueError`` with one sentence where a file is wrong.
        splits: the numbered splits it has; empty where ``split=`` means nothing.
    """

    name: str
    expects: str
    found: Callable[[Path], bool]
    read: Callable[[Path, int | None], Catalog]
    splits: tuple[int, ...] = ()


def named(classes: Sequence[str], most: int = 4) -> str:
    """``3 classes (a, b, c)``, the middle left out where there are many."""
    if not classes:
        return "no labels"
    shown = list(classes) if len(classes) <= most else [*classes[: most - 1], "...", classes[-1]]
    return f"{len(classes)} classes ({', '.join(shown)})"


def is_video(path: Path | str) -> bool:
    """Whether the name ends as a video's does."""
    return os.path.splitext(path)[1].lower() in EXTENSIONS


def list_videos(folder: Path) -> list[Path]:
    """All videos below a folder at any depth, sorted, hidden ones left out; links are followed once."""
    return sorted(_walk(folder, set()))


def _walk(folder: Path, entered: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in entered:
        return
    entered.add(real)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), entered)
            elif is_video(entry.name):
                yield Path(entry.path)


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def missing_note(missing: list[str], listed: int, root: Path) -> tuple[str, ...]:
    """A note on listed files that are not there; ``ValueError`` where none is."""
    if listed and len(missing) == listed:
        raise ValueError(f"none of the {listed} listed videos is below {root}, for example {missing[0]}: check root")
    return (f"{len(missing)} of {listed} listed videos are missing, for example {missing[0]}",) if missing else ()
