"""The clips of a run, from one data set or several, and the indexes of their files."""

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

from vmae_zoo.data.bad_samples import check_readable
from vmae_zoo.data.reader import VideoReader
from vmae_zoo.data.storage_retry import required_dirs_of
from vmae_zoo.datasets.epoch_sampling import WeightedEpochs, every_record
from vmae_zoo.datasets.index import Index, find_index, without_damaged
from vmae_zoo.datasets.layouts import Catalog, ClipTable, open_catalog
from vmae_zoo.datasets.layouts.base import without_unlabeled
from vmae_zoo.datasets.sources import Source, merge_catalogs, read_sources
from vmae_zoo.datasets.splits import with_val_share
from vmae_zoo.video.decode import VideoInfo
from vmae_zoo.video.packet_index import PacketIndex


class DatasetMixture:
    """All clips, of every split, without videos that an index (`vmae-zoo index`) lists as damaged.

    The arguments are those of `vmae_zoo.data.module.ClipDataModule`.
    """

    def __init__(
        self,
        root: str | Path | None,
        layout: str | None = None,
        split: int | None = None,
        sources: Sequence[Mapping[str, Any]] | None = None,
        stride_frames: int = 4,
        refuse_corrupt: bool = False,
        label_column: str | None = None,
        val_share: float = 0.0,
    ):
        if sources and (layout is not None or split is not None or label_column is not None):
            raise ValueError(
                "data.layout, data.split and data.label_column belong to each of data.sources: write them there"
            )
        self.sources: list[Source] = read_sources(sources or ())
        base = Path(root or ".").expanduser().absolute()
        opened = [source.open(base) for source in self.sources] or [open_catalog(root, layout, split, label_column)]
        if val_share:
            opened = [with_val_share(catalog, val_share) for catalog in opened]
        found = [find_index(catalog.root) for catalog in opened]
        self.indexes = Indexes([index for index in found if index is not None])
        self.catalogs = [
            catalog if index is None else without_damaged(catalog, index, refuse_corrupt)
            for catalog, index in zip(opened, found, strict=True)
        ]
        self.base, self.stride_frames = base, stride_frames

    @cached_property
    def catalog(self) -> Catalog:
        """The clips of all sources."""
        if not self.sources:
            return self.catalogs[0]
        return merge_catalogs(self.sources, self.catalogs, self.base, self.stride_frames)

    def labeled(self) -> "DatasetMixture":
        """The same without clips that have no label."""
        other = copy(self)
        for name, member in vars(DatasetMixture).items():
            if isinstance(member, cached_property):  # computed from the catalogs
                vars(other).pop(name, None)
        other.catalogs = [without_unlabeled(catalog) for catalog in self.catalogs]
        return other

    @cached_property
    def records(self) -> ClipTable:
        """Training clips, one source after the other."""
        return self.catalog.of("train")

    @cached_property
    def validation_records(self) -> ClipTable:
        """Validation clips; those of the test split if there are none."""
        return self.catalog.of("val") or self.catalog.of("test")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names, segments and labels of the training clips, in their order; folders may be moved."""
        return self.records.fingerprint()

    @property
    def test_records(self) -> ClipTable:
        """Test clips; the validation clips if there are none."""
        return self.catalog.of("test") or self.validation_records

    @cached_property
    def required_dirs(self) -> tuple[Path, ...]:
        """Folders without which no clip can be read."""
        return tuple(folder for catalog in self.catalogs for folder in required_dirs_of(catalog.root, catalog.records))

    @cached_property
    def reader(self) -> VideoReader:
        """Reads the videos, with the help of the indexes if there are any."""
        return VideoReader(self.indexes.lookup if self.indexes else None)

    def epochs(self, seed: int) -> WeightedEpochs:
        """The training clips of each epoch."""
        if not self.sources:
            return every_record(len(self.records))
        names, weights = zip(*((source.prefix, source.weight) for source in self.sources), strict=True)
        return WeightedEpochs(names, [len(catalog.of("train")) for catalog in self.catalogs], weights, seed)

    def describe(self) -> str:
        """One line: layout, classes, number of clips per split, notes, and each source of several."""
        line = self.catalog.describe()
        return f"{line}; {len(self.epochs(0))} clips an epoch" if self.sources else line

    def check(self) -> None:
        """``ValueError`` if there is no training clip, or a source without a readable one."""
        if not self.records:
            raise ValueError(
                f"{self.catalog.root} has no training clip (layout {self.catalog.layout}): check its splits"
            )
        for catalog in self.catalogs:
            if records := catalog.of("train"):
                check_readable(records, catalog.root, self.reader)


class Indexes:
    """The indexes of all sources that have one."""

    def __init__(self, indexes: Sequence[Index]):
        self.indexes = indexes

    def __bool__(self) -> bool:
        return bool(self.indexes)

    def lookup(self, name: str, size: int, mtime_ns: int) -> tuple[VideoInfo, PacketIndex | None] | None:
        """What the first index that lists the file stores about it; see `vmae_zoo.datasets.index.Index.lookup`."""
        return next((known for index in self.indexes if (known := index.lookup(name, size, mtime_ns))), None)

    @cached_property
    def fingerprint(self) -> str | None:
        """Fingerprints of all indexes; None if there is none."""
        return "+".join(index.fingerprint for index in self.indexes) or None
