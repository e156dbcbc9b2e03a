"""Plain folders of videos: ``folder`` with a sub-folder for each class, ``flat`` without labels.

``folder`` is ``<class>/...``, or ``train/<class>/...`` and ``val/<class>/...`` (also called valid, validation, test).
``flat`` is videos at any depth, all for training, or ``train`` and ``val`` folders of them. Files that are no videos
are ignored.
"""

from pathlib import Path

from vmae_zoo.data.catalog.rows import SPLITS, Catalog, Layout, Row, list_videos, subfolders


def _split_folders(root: Path) -> dict[Path, str]:
    """The folders that hold splits, with train among them; else the root itself as train."""
    folders = {folder: SPLITS[folder.name.lower()] for folder in subfolders(root) if folder.name.lower() in SPLITS}
    return folders if "train" in folders.values() else {root: "train"}


def _class_folders(folder: Path) -> list[Path]:
    return [sub for sub in subfolders(folder) if list_videos(sub)]


def _labelled(root: Path) -> bool:
    """At least two class folders, and no video outside them."""
    folders = _split_folders(root)
    classes = {sub.name for folder in folders for sub in _class_folders(folder)}
    loose = any(path.parent == folder for folder in folders for path in list_videos(folder))
    return len(classes) > 1 and not loose


def _read_labelled(root: Path, split: int | None) -> Catalog:
    found = [(sub, kind) for folder, kind in _split_folders(root).items() for sub in _class_folders(folder)]
    classes = sorted({sub.name for sub, _ in found})
    rows = [Row.below(root, path, classes.index(sub.name), kind) for sub, kind in found for path in list_videos(sub)]
    return Catalog(root, "folder", classes, rows)


def _read_flat(root: Path, split: int | None) -> Catalog:
    folders = _split_folders(root)
    rows = [Row.below(root, path, -1, kind) for folder, kind in folders.items() for path in list_videos(folder)]
    return Catalog(root, "flat", [], rows)


FOLDER = Layout(
    "folder",
    "two or more sub-folders with videos, one for each class",
    lambda root: root.is_dir() and _labelled(root),
    _read_labelled,
)
FLAT = Layout("flat", "videos at any depth", lambda root: root.is_dir() and bool(list_videos(root)), _read_flat)
