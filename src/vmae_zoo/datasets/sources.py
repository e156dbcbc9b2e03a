"""Several data sets as one, each with a stride and a weight: VideoMAE V2's hybrid set and the like.

Wang et al., "VideoMAE V2" (CVPR 2023, arXiv 2303.16727) mix Kinetics, Something-Something V2, AVA, WebVid and clips of
their own, and read every other frame of Something-Something V2 where the others have every fourth.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmae_zoo.datasets.layouts import Catalog, ClipRecord, open_catalog
from vmae_zoo.datasets.layouts.base import named
from vmae_zoo.video.storage import is_remote

KEYS = ("root", "layout", "split", "stride_frames", "weight", "name")


@dataclass(frozen=True)
class Source:
    """One of several data sets.

    Args:
        root: its folder or list file, relative to ``data.root`` or absolute.
        layout: how it is laid out; None detects it.
        split: number of its split where the layout has some.
        stride_frames: distance of its frames; None: ``data.stride_frames``.
        weight: how often an epoch has each of its training clips: 2 gives twice as many, 0.5 another half every epoch.
        name: before the ids of its clips; None: the root's last name.
    """

    root: str
    layout: str | None = None
    split: int | None = None
    stride_frames: int | None = None
    weight: float = 1.0
    name: str | None = None

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or Path(self.root).stem

    def open(self, base: Path) -> Catalog:
        """Its catalog; ``ValueError`` names the source."""
        try:
            root = self.root if is_remote(self.root) else base / Path(self.root).expanduser()
            return open_catalog(root, self.layout, self.split)
        except ValueError as error:
            raise ValueError(f"data.sources, {self.called}: {error}") from None


def read_sources(entries: Sequence[Mapping[str, Any]]) -> list[Source]:
    """The sources that a recipe lists; ``ValueError`` for a wrong key or number, or two of one name."""
    sources = []
    for number, entry in enumerate(entries, start=1):
        where = f"data.sources, entry {number}"
        wrong = [key for key in entry if key not in KEYS]
        if wrong:
            raise ValueError(f"{where}: {wrong[0]!r} is not known: choose from {', '.join(KEYS)}")
        if not isinstance(entry.get("root"), str):
            raise ValueError(f"{where}: root is missing: give the folder of the videos")
        given = {key: value for key, value in entry.items() if value is not None}
        weight, stride = given.get("weight", 1), given.get("stride_frames", 1)
        if not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
            raise ValueError(f"{where}: weight = {weight!r} should be a positive number, or leave the source out")
        if not isinstance(stride, int) or stride < 1:
            raise ValueError(f"{where}: stride_frames = {stride!r} should be a positive whole number")
        sources.append(Source(**given))
    names = [source.called for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"data.sources: {names.count(name)} of them are called {name!r}: give each its own name")
    return sources


def join(sources: Sequence[Source], catalogs: Sequence[Catalog], base: Path, stride_frames: int) -> Catalog:
    """One catalog of several: ids begin with the source's name, and classes of one name are one class.

    Classes that have only numbers are kept apart by the source's name.

    Args:
        sources: what they are.
        catalogs: theirs, in the same order.
        base: the folder that the roots are relative to.
        stride_frames: of sources that have none of their own.
    """
    labels: dict[str, int] = {}
    records: list[ClipRecord] = []
    parts = []
    for source, catalog in zip(sources, catalogs, strict=True):
        numbered = all(name.isdecimal() for name in catalog.classes)
        names = [f"{source.called}:{name}" if numbered else name for name in catalog.classes]
        own = [labels.setdefault(name, len(labels)) for name in names]
        stride = source.stride_frames or stride_frames
        for record in catalog.records:
            label = own[record.label] if record.label >= 0 else -1
            records.append(replace(record, id=f"{source.called}:{record.id}", label=label, stride_frames=stride))
        about = [f"layout {catalog.layout}", named(catalog.classes), f"clips: {catalog.counts()}"]
        parts.append(", ".join([*about, f"stride {stride}", f"weight {source.weight:g}", *catalog.notes]))
    notes = [f"{source.called}: {part}" for source, part in zip(sources, parts, strict=True)]
    missing = [
        f"{source.called}:{name}" for source, catalog in zip(sources, catalogs, strict=True) for name in catalog.missing
    ]
    return Catalog(base, "mix", list(labels), records, None, tuple(notes), tuple(missing))
