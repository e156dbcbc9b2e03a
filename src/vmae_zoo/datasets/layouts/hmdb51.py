"""HMDB51 (Kuehne et al., ICCV 2011): ``<class>/<clip>.avi`` and split files ``<class>_test_split{1,2,3}.txt``.

A line of a split file is ``name 1|2|0``: training, test, unused. The test clips are the validation set. The split files
are in the root, in a folder of it (``splits``, ``testTrainMulti_7030_splits``), or in a sibling folder of that name.
Files are matched by stem, so that a re-encoded copy with another extension can use the same split files.
"""

from pathlib import Path

from vmae_zoo.datasets.layouts.base import Catalog, Layout, listed_catalog, subfolders
from vmae_zoo.datasets.layouts.tables import read_lines
from vmae_zoo.datasets.scan import videos_by_stem

_SPLIT_FOLDERS = ("splits", "testTrainMulti_7030_splits")
_MEANING = {"1": "train", "2": "val"}


def _split_files(root: Path, split: int) -> list[Path]:
    folders = [root, *(root / name for name in _SPLIT_FOLDERS), *(root.parent / name for name in _SPLIT_FOLDERS)]
    for folder in folders:
        files = sorted(folder.glob(f"*_test_split{split}.txt"))
        if files:
            return files
    return []


def _found(root: Path) -> bool:
    return root.is_dir() and any(_split_files(root, split) for split in (1, 2, 3))


def _read(root: Path, split: int | None) -> Catalog:
    split = split or 1
    files = _split_files(root, split)
    if not files:
        raise ValueError(
            f"{root} has no file <class>_test_split{split}.txt: give another split, or complete the split files"
        )
    classes = [file.name.removesuffix(f"_test_split{split}.txt") for file in files]
    folders = {folder.name: folder for parent in [*subfolders(root), root] for folder in subfolders(parent)}
    entries = []
    for label, (name, file) in enumerate(zip(classes, files, strict=True)):
        videos = videos_by_stem(folders[name]) if name in folders else {}
        for line in read_lines(file, "surrogateescape"):
            clip, _, use = line.replace("\t", " ").rpartition(" ")
            if use in _MEANING:
                entries.append((f"{name}/{clip.strip()}", videos.get(Path(clip.strip()).stem), label, _MEANING[use]))
    return listed_catalog(root, "hmdb51", classes, entries, split)


LAYOUT = Layout(
    "hmdb51",
    "<class>/<clip> folders and <class>_test_split1.txt files in the root or in splits/",
    _found,
    _read,
    (1, 2, 3),
)
