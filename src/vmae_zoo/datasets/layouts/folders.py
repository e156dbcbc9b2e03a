"""Folders of videos: ``folder`` with one sub-folder per class, ``flat`` without labels.

``folder`` is ``<class>/...``, or ``train/<class>/...`` and ``val/<class>/...`` (also valid, validation, test).
``flat`` is videos at any depth, all for training, or in ``train`` and ``val`` folders; or a single video. Other files
are ignored.
"""

import os
from pathlib import Path

from vmae_zoo.datasets.clip_record import ClipRecord
from vmae_zoo.datasets.clip_table import ClipTable
from vmae_zoo.datasets.layouts.base import SPLITS, Catalog, Layout
from vmae_zoo.datasets.scan import has_video, is_video, list_folder, scan_videos


def _videos(root: Path) -> list[tuple[str, str, str | None]]:
    """Every video with its split and the folder that may be its class; of split folders only, if there are any."""
    if root.is_file():
        return [(os.fspath(root), "train", None)]
    below = len(os.path.join(root, ""))
    found = [(video, video[below:].split(os.sep)) for video in scan_videos(root)]
    splits = {parts[0]: SPLITS[parts[0].lower()] for _, parts in found if parts[0].lower() in SPLITS}
    if "train" in splits.values():
        found = [(video, parts) for video, parts in found if parts[0] in splits]
        return [(video, splits[parts[0]], parts[1] if len(parts) > 2 else None) for video, parts in found]
    return [(video, "train", parts[0] if len(parts) > 1 else None) for video, parts in found]


def _labelled(root: Path) -> bool:
    """Whether there are at least two class folders and no video outside them."""
    if not root.is_dir():
        return False
    found = _labelled_without_links(root)
    if found is None:
        names = {name for _, _, name in _videos(root)}
        return len(names) > 1 and None not in names
    return found


def _labelled_without_links(root: Path) -> bool | None:
    """The same from the first videos of each folder; None if it depends on links to folders."""
    listings = [list_folder(root)]
    splits = [folder for folder in listings[0].folders if os.path.basename(folder).lower() in SPLITS]
    training = [has_video(folder) for folder in splits if SPLITS[os.path.basename(folder).lower()] == "train"]
    if listings[0].links or (None in training and True not in training):
        return None
    if True in training:
        listings = [list_folder(folder) for folder in splits]
    if any(listing.videos for listing in listings):
        return False
    folders = [folder for listing in listings for folder in listing.folders]
    classes, unsure = set[str](), any(listing.links for listing in listings)
    for folder in folders:
        if os.path.basename(folder) not in classes:
            found = has_video(folder)
            unsure |= found is None
            classes.update([os.path.basename(folder)] * bool(found))
            if len(classes) > 1:
                return True
    return None if unsure else False


def _read_labelled(root: Path, split: int | None) -> Catalog:
    videos = _videos(root)
    classes = sorted({name for _, _, name in videos if name is not None})
    labels = {name: label for label, name in enumerate(classes)}
    rows = (ClipRecord.below(root, path, -1 if name is None else labels[name], kind) for path, kind, name in videos)
    return Catalog(root, "folder", classes, ClipTable.of(rows, root))


def _holds_videos(root: Path) -> bool:
    if not root.is_dir():
        return root.is_file() and is_video(root)
    found = has_video(root)
    return bool(scan_videos(root)) if found is None else found


def _read_flat(root: Path, split: int | None) -> Catalog:
    base = root.parent if root.is_file() else root
    rows = (ClipRecord.below(base, path, -1, kind) for path, kind, _ in _videos(root))
    return Catalog(root, "flat", [], ClipTable.of(rows, base))


FOLDER = Layout(
    "folder",
    "two or more sub-folders with videos, one for each class",
    _labelled,
    _read_labelled,
)
FLAT = Layout(
    "flat",
    "videos at any depth, or a single video",
    _holds_videos,
    _read_flat,
)
