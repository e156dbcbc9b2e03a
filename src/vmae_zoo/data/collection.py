"""The clips of a run and what is known of their files: a catalog, and the index where there is one."""

from functools import cached_property
from pathlib import Path

from vmae_zoo.data.catalog import Catalog, Row, open_catalog
from vmae_zoo.data.decode import Recall
from vmae_zoo.data.index import find_index, without_damaged


class Collection:
    """All clips of a root, of every split, without those that an index (`vmae-zoo index`) found damaged.

    Args:
        root: folder of the videos, or a list file.
        layout: how it is laid out; None detects it.
        split: number of the split where the layout has some.
    """

    def __init__(self, root: str | Path, layout: str | None = None, split: int | None = None):
        catalog = open_catalog(root, layout, split)
        self.index = find_index(catalog.root)
        self.catalog: Catalog = catalog if self.index is None else without_damaged(catalog, self.index)

    @cached_property
    def rows(self) -> list[Row]:
        """The training clips."""
        return self.catalog.of("train")

    @cached_property
    def validation_rows(self) -> list[Row]:
        """The validation clips: those of the test split where there are no others."""
        return self.catalog.of("val") or self.catalog.of("test")

    @property
    def test_rows(self) -> list[Row]:
        """The test clips: the validation clips where there are no others."""
        return self.catalog.of("test") or self.validation_rows

    @property
    def recall(self) -> Recall | None:
        """What the index knows of a file; None where there is no index."""
        return None if self.index is None else self.index.recall

    @cached_property
    def fingerprint(self) -> str | None:
        """Of the index; None where there is none."""
        return None if self.index is None else self.index.fingerprint
