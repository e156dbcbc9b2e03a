"""UCF101 (Soomro et al., 2012, arXiv 1212.0402): ``<class>/v_*.avi`` with ``trainlist0N.txt`` and ``testlist0N.txt``.

A line of a train list is ``Class/v_Class_g08_c01.avi 1``, a line of a test list ``Class/v_Class_g08_c01.avi``. The test
clips are the validation set. The lists are in the root, in its folder ``ucfTrainTestlist``, or in a sibling folder of
that name; the videos are anywhere in the root. Files are matched by stem, which is unique, so extensions may differ.
"""

from pathlib import Path

from vmae_zoo.datasets.layouts.base import Catalog, Layout, listed_catalog
from vmae_zoo.datasets.layouts.tables import read_lines
from vmae_zoo.datasets.scan import videos_by_stem


def _lists(root: Path) -> Path | None:
    folders = (root, root / "ucfTrainTestlist", root.parent / "ucfTrainTestlist")
    return next((folder for folder in folders if any(folder.glob("trainlist0[123].txt"))), None)


def _found(root: Path) -> bool:
    return root.is_dir() and _lists(root) is not None


def _read(root: Path, split: int | None) -> Catalog:
    split = split or 1
    lists = _lists(root)
    assert lists is not None
    names: dict[str, str] = {}
    for kind, file in (("train", lists / f"trainlist0{split}.txt"), ("val", lists / f"testlist0{split}.txt")):
        if not file.is_file():
            raise ValueError(f"{file} is missing: split = {split} needs it")
        for line in read_lines(file):
            if line and not line.startswith("#"):
                names[line.split()[0].replace("\\", "/")] = kind
    classes = sorted({name.split("/")[0] for name in names})
    videos = videos_by_stem(root)
    entries = (
        (name, videos.get(Path(name).stem), classes.index(name.split("/")[0]), kind) for name, kind in names.items()
    )
    return listed_catalog(root, "ucf101", classes, entries, split)


LAYOUT = Layout(
    "ucf101", "trainlist01.txt and testlist01.txt in the root or in ucfTrainTestlist/", _found, _read, (1, 2, 3)
)
