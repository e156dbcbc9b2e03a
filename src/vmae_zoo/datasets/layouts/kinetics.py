"""Kinetics-400/600/700 (Kay et al., 2017, arXiv 1705.06950) with its official CSV files.

The CSV files have the columns ``label, youtube_id, time_start, time_end, split`` and are in the root or in
``annotations``. A clip's file is ``<youtube_id>_<start>_<end>`` (six digits each) or ``<youtube_id>``, anywhere in the
root, with any video extension. Missing clips are counted and left out, since many are no longer on YouTube. Class
folders ``train/<class>``, ``val/<class>`` without CSV files have the layout "folder".
"""

from pathlib import Path

from vmae_zoo.datasets.layouts.base import SPLITS, Catalog, Layout, listed_catalog
from vmae_zoo.datasets.layouts.tables import parse_seconds, read_header, read_table
from vmae_zoo.datasets.scan import videos_by_stem

_COLUMNS = {"label", "youtube_id", "time_start", "time_end"}


def _tables(root: Path) -> list[Path]:
    files = (file for folder in (root, root / "annotations") for file in sorted(folder.glob("*.csv")))
    return [file for file in files if set(read_header(file)) >= _COLUMNS]


def _found(root: Path) -> bool:
    return root.is_dir() and bool(_tables(root))


def _read(root: Path, split: int | None) -> Catalog:
    entries = []
    for file in _tables(root):
        columns, rows = read_table(file)
        for line, values in rows:
            entry = dict(zip(columns, values, strict=True))
            split_name = entry.get("split") or file.stem
            kind = SPLITS.get(split_name.lower())
            if kind is None:
                raise ValueError(
                    f"{file}, line {line}: its split column or its name must be train, val or test, not {split_name!r}"
                )
            start, end = (
                int(parse_seconds(file, line, name, entry[name], empty=False) or 0)
                for name in ("time_start", "time_end")
            )
            entries.append((entry, kind, f"{entry['youtube_id']}_{start:06d}_{end:06d}"))
    classes = sorted({entry["label"] for entry, _, _ in entries if entry["label"]})
    labels = {name: label for label, name in enumerate(classes)}
    videos = videos_by_stem(root)
    listed = (
        (timed, videos.get(timed) or videos.get(entry["youtube_id"]), labels.get(entry["label"], -1), kind)
        for entry, kind, timed in entries
    )
    return listed_catalog(root, "kinetics", classes, listed)


LAYOUT = Layout(
    "kinetics", "CSV files with label, youtube_id, time_start, time_end in the root or in annotations/", _found, _read
)
