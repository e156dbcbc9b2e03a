"""Folders of videos: ``folder`` with one sub-folder per class, ``flat`` without labels.

``folder`` is ``<class>/...``, or ``train/<class>/...`` and ``val/<class>/...`` (also valid, validation, test).
``flat`` is videos at any depth, all for training, or in ``train`` and ``val`` folders; or a single video. Other files
are ignored.
"""

from pathlib import Path

from vmae_zoo.datasets.clip_record import ClipRecord
from vmae_zoo.datasets.clip_table import ClipTable
from vmae_zoo.datasets.layouts.base import SPLITS, Catalog, Layout, is_video, list_videos


def _videos(root: Path) -> list[tuple[Path, str, str | None]]:
    """Every video with its split and the folder that may be its class; of split folders only, if there are any."""
    if root.is_file():
        return [(root, "train", None)]
    found = [(path, path.relative_to(root).parts) for path in list_videos(root)]
    splits = {parts[0]: SPLITS[parts[0].lower()] for _, parts in found if parts[0].lower() in SPLITS}
    if "train" in splits.values():
        found = [(path, parts) for path, parts in found if parts[0] in splits]
        return [(path, splits[parts[0]], parts[1] if len(parts) > 2 else None) for path, parts in found]
    return [(path, "train", parts[0] if len(parts) > 1 else None) for path, parts in found]


def _labelled(root: Path) -> bool:
    """Whether there are at least two class folders and no video outside them."""
    names = {name for _, _, name in _videos(root)}
    return len(names) > 1 and None not in names


def _read_labelled(root: Path, split: int | None) -> Catalog:
    videos = _videos(root)
    classes = sorted({name for _, _, name in videos if name is not None})
    labels = {name: label for label, name in enumerate(classes)}
    rows = (ClipRecord.below(root, path, -1 if name is None else labels[name], kind) for path, kind, name in videos)
    return Catalog(root, "folder", classes, ClipTable.of(rows, root))


def _read_flat(root: Path, split: int | None) -> Catalog:
    base = root.parent if root.is_file() else root
    rows = (ClipRecord.below(base, path, -1, kind) for path, kind, _ in _videos(root))
    return Catalog(root, "flat", [], ClipTable.of(rows, base))


FOLDER = Layout(
    "folder",
    "two or more sub-folders with videos, one for each class",
    lambda root: root.is_dir() and _labelled(root),
    _read_labelled,
)
FLAT = Layout(
    "flat",
    "videos at any depth, or a single video",
    lambda root: is_video(root) if root.is_file() else root.is_dir() and bool(list_videos(root)),
    _read_flat,
)
