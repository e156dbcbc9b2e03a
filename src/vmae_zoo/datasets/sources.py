"""A mixture of data sets, each with its own stride and weight, such as VideoMAE V2's hybrid set.

Wang et al., "VideoMAE V2" (CVPR 2023, arXiv 2303.16727) mix Kinetics, Something-Something V2, AVA, WebVid and their own
clips, and read every second frame of Something-Something V2 but every fourth frame of the others.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vmae_zoo.datasets.clip_table import ClipTable, Origin
from vmae_zoo.datasets.layouts import Catalog, open_catalog
from vmae_zoo.datasets.layouts.base import format_classes
from vmae_zoo.datasets.synthetic.embedded import is_embedded
from vmae_zoo.video.storage import is_remote

KEYS = ("root", "layout", "split", "label_column", "stride_frames", "weight", "name")


@dataclass(frozen=True)
class Source:
    """One data set of a mixture.

    Args:
        root: folder or list file, absolute or relative to ``data.root``.
        layout: name of its layout; None detects it.
        split: numbered split, if the layout has any.
        label_column: column of its CSV file with the labels; None is "label".
        stride_frames: distance between frames; None: ``data.stride_frames``.
        weight: how often an epoch has each of its training clips; with 0.5 an epoch has half of them, alternating.
        name: prefix of the ids of its clips; None: the last component of the root.
    """

    root: str
    layout: str | None = None
    split: int | None = None
    label_column: str | None = None
    stride_frames: int | None = None
    weight: float = 1.0
    name: str | None = None

    @property
    def prefix(self) -> str:
        """``name``, or the last component of the root."""
        return self.name or Path(self.root).stem

    def open(self, base: Path) -> Catalog:
        """Read its catalog; a ``ValueError`` names the data set."""
        try:
            root = self.root if is_remote(self.root) or is_embedded(self.root) else base / Path(self.root).expanduser()
            return open_catalog(root, self.layout, self.split, self.label_column)
        except ValueError as error:
            raise ValueError(f"data.sources, {self.prefix}: {error}") from None


def read_sources(entries: Sequence[Mapping[str, Any]]) -> list[Source]:
    """The sources of a recipe; ``ValueError`` for an unknown key, an invalid number or a repeated name."""
    sources = []
    for number, entry in enumerate(entries, start=1):
        where = f"data.sources, entry {number}"
        unknown = [key for key in entry if key not in KEYS]
        if unknown:
            raise ValueError(f"{where}: unknown key {unknown[0]!r}: choose from {', '.join(KEYS)}")
        if not isinstance(entry.get("root"), str):
            raise ValueError(f"{where}: root is missing: give the folder of the videos")
        given = {key: value for key, value in entry.items() if value is not None}
        weight, stride = given.get("weight", 1), given.get("stride_frames", 1)
        if not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
            raise ValueError(f"{where}: weight = {weight!r} must be a positive number, or leave the source out")
        if not isinstance(stride, int) or stride < 1:
            raise ValueError(f"{where}: stride_frames = {stride!r} must be a positive integer")
        sources.append(Source(**given))
    names = [source.prefix for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"data.sources: {names.count(name)} entries are named {name!r}: give each its own name")
    return sources


def merge_catalogs(sources: Sequence[Source], catalogs: Sequence[Catalog], base: Path, stride_frames: int) -> Catalog:
    """Merge catalogs into one: ids get the source's name as a prefix, and classes with the same name are merged.

    Classes of a source that are only numbers get the source's name as a prefix instead.
    """
    labels: dict[str, int] = {}
    tables = []
    parts = []
    for source, catalog in zip(sources, catalogs, strict=True):
        numbered = all(name.isdecimal() for name in catalog.classes)
        names = [f"{source.prefix}:{name}" if numbered else name for name in catalog.classes]
        own = [labels.setdefault(name, len(labels)) for name in names]
        stride = source.stride_frames or stride_frames
        table = catalog.records
        origins = [Origin(each.folder, f"{source.prefix}:{each.prefix}", stride) for each in table.origins]
        tables.append(replace(table, labels=np.array([*own, -1], np.int32)[table.labels], origins=origins))
        about = [f"layout {catalog.layout}", format_classes(catalog.classes), f"clips: {catalog.counts()}"]
        parts.append(", ".join([*about, f"stride {stride}", f"weight {source.weight:g}", *catalog.notes]))
    notes = [f"{source.prefix}: {part}" for source, part in zip(sources, parts, strict=True)]
    missing = [
        f"{source.prefix}:{name}" for source, catalog in zip(sources, catalogs, strict=True) for name in catalog.missing
    ]
    return Catalog(base, "mix", list(labels), ClipTable.concatenate(tables), None, tuple(notes), tuple(missing))
