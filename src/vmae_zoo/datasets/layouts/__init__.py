"""Layouts: reading a data set on disk into a catalog of clip records.

Each layout has a file here. Without ``layout=`` the first of `LAYOUTS` that a root has is used.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vmae_zoo.datasets.clip_record import ClipRecord
from vmae_zoo.datasets.clip_table import ClipTable
from vmae_zoo.datasets.layouts import csv_table, folders, hmdb51, jpeg_shards, kinetics, lists, ssv2, ucf101
from vmae_zoo.datasets.layouts.base import Catalog, Layout
from vmae_zoo.datasets.scan import EXTENSIONS
from vmae_zoo.datasets.synthetic.embedded import embedded_root, is_embedded
from vmae_zoo.datasets.text_column import hashes, is_in
from vmae_zoo.video.storage import as_path, is_remote, url_of

__all__ = ["EXTENSIONS", "LAYOUTS", "Catalog", "ClipRecord", "ClipTable", "Layout", "open_catalog"]

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        hmdb51.LAYOUT,
        ucf101.LAYOUT,
        ssv2.LAYOUT,
        kinetics.LAYOUT,
        csv_table.CSV,
        lists.LIST,
        folders.FOLDER,
        folders.FLAT,
        jpeg_shards.CACHE,
    )
}


def open_catalog(
    root: str | Path | None, layout: str | None = None, split: int | None = None, label_column: str | None = None
) -> Catalog:
    """Read the catalog of a data set.

    Args:
        root: a folder, a list file, the URL of a cache, or "synthetic:NAME" for an embedded set, see
            `vmae_zoo.datasets.synthetic.embedded`; None is "synthetic:demo".
        layout: one of `LAYOUTS`; None detects it.
        split: numbered split, if the layout has any (hmdb51, ucf101: 1, 2, 3); None is the default one.
        label_column: column of a CSV file with the labels; None is "label".

    Raises:
        ValueError: the root does not have the layout; the message names what was expected and what was found.
    """
    root = embedded_root(root) if is_embedded(root) else as_path(root)  # type: ignore[arg-type]
    if is_remote(root) and not jpeg_shards.CACHE.found(root):
        raise ValueError(
            f"{url_of(root)} has no {jpeg_shards.MANIFEST}: from an object store only caches can be read "
            "(`vmae-zoo cache`)"
        )
    if not is_remote(root) and not root.exists():
        raise ValueError(f"root = {root} does not exist: give the folder of the videos")
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"layout = {layout!r}: choose one of {', '.join(LAYOUTS)}, or leave it out to detect it")
    layout = jpeg_shards.CACHE.name if is_remote(root) else layout
    candidates = LAYOUTS.values() if layout is None else [LAYOUTS[layout]]
    chosen = next((candidate for candidate in candidates if candidate.found(root)), None)
    if chosen is None:
        expected = (
            f"no videos ({', '.join(EXTENSIONS)})"
            if layout is None
            else f"not the layout {layout} ({LAYOUTS[layout].expects})"
        )
        raise ValueError(
            f"{url_of(root)} holds {expected}, but {_summarize(root)}: check root"
            + ("" if layout is None else " and layout")
            + (f"; it has the layout {other.name}" if layout and (other := _detect(root)) else "")
        )
    if split is not None and split not in chosen.splits:
        choices = (
            f"has the splits {', '.join(map(str, chosen.splits))}"
            if chosen.splits
            else "has no numbered splits: leave it out"
        )
        raise ValueError(f"split = {split}, but the layout {chosen.name} of {url_of(root)} {choices}")
    if label_column is not None and chosen is not csv_table.CSV:
        raise ValueError(
            f"label_column = {label_column!r}, but {url_of(root)} was read as the layout {chosen.name}: only CSV files "
            "(layout csv) have columns, leave it out"
        )
    if layout is None and root.is_dir() and chosen.name in ("folder", "flat"):
        lists.refuse_ignored_lists(root)
    catalog = csv_table.read_csv(root, split, label_column) if label_column else chosen.read(root, split)
    if not catalog.records:
        raise ValueError(f"{url_of(root)} was read as the layout {chosen.name} and lists no clip: check its list files")
    return replace(catalog, notes=(*catalog.notes, *_repeated_note(catalog)))


def _detect(root: Path) -> Layout | None:
    try:
        return next((layout for layout in LAYOUTS.values() if layout.found(root)), None)
    except ValueError:  # a list that cannot be read
        return None


def _repeated_note(catalog: Catalog) -> list[str]:
    """A note about clips that are in the training split and in another one."""
    train = catalog.records.of_split("train")
    if train.all():
        return []
    ids, others = (catalog.records.where(which) for which in (train, ~train))
    both = np.flatnonzero(is_in(hashes(ids.all_ids()), hashes(others.all_ids())))
    if not both.size:
        return []
    return [f"{both.size} clips of the training split are in another split too, for example {ids[both[0]].id}"]


def _summarize(root: Path) -> str:
    if root.is_file():
        return "is a file that is not a list of videos"
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    if not names:
        return "is empty"
    return f"{len(names)} other entr{'y' if len(names) == 1 else 'ies'}, for example {', '.join(names[:3])}"
