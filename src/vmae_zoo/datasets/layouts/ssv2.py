"""Something-Something V2 (Goyal et al., ICCV 2017, arXiv 1706.04261): numbered videos and JSON lists.

``something-something-v2-{train,validation,labels}.json`` (or ``{train,validation,labels}.json``) are in the root, in
``labels`` or in ``annotations``. An entry of a list is ``{"id": "78687", "template": "Holding [something]", ...}``;
without a template, its label is the class. The labels file is ``{"Holding something": "0", ...}``.
"""

import json
from pathlib import Path
from typing import Any

from vmae_zoo.datasets.layouts.base import Catalog, Layout, listed_catalog
from vmae_zoo.datasets.layouts.tables import read_lines
from vmae_zoo.datasets.scan import videos_by_stem


def _file(root: Path, kind: str) -> Path | None:
    names = [f"{prefix}{kind}.json" for prefix in ("something-something-v2-", "")]
    paths = (folder / name for folder in (root, root / "labels", root / "annotations") for name in names)
    return next((path for path in paths if path.is_file()), None)


def _found(root: Path) -> bool:
    return root.is_dir() and _file(root, "labels") is not None and _file(root, "train") is not None


def _json(file: Path) -> Any:
    text = "\n".join(read_lines(file))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}, line {error.lineno}: not valid JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or thousands of brackets
        raise ValueError(f"{file}: not valid JSON ({error})") from None


def _read(root: Path, split: int | None) -> Catalog:
    labels_file = _file(root, "labels")
    assert labels_file is not None
    found = _json(labels_file)
    try:
        numbers = {name.strip(): int(label) for name, label in found.items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"{labels_file}: expected a JSON object of class names and numbers") from None
    classes = sorted(numbers, key=numbers.__getitem__)
    labels = {name: label for label, name in enumerate(classes)}
    videos = videos_by_stem(root)
    entries = []
    for kind, name in (("train", "train"), ("val", "validation")):
        file = _file(root, name)
        if file is None:
            continue
        listed = _json(file)
        if not isinstance(listed, list):
            raise ValueError(f"{file}: expected a JSON list of entries with an id and a template")
        for number, entry in enumerate(listed, start=1):
            if not isinstance(entry, dict) or "id" not in entry or not {"template", "label"} & entry.keys():
                raise ValueError(f"{file}, entry {number}: needs an id, and a template or a label")
            template = str(entry.get("template", entry.get("label"))).replace("[", "").replace("]", "").strip()
            if template not in labels:
                raise ValueError(f"{file}, entry {number}: the template {template!r} is not in {labels_file}")
            entries.append((str(entry["id"]), videos.get(str(entry["id"])), labels[template], kind))
    return listed_catalog(root, "ssv2", classes, entries)


LAYOUT = Layout("ssv2", "something-something-v2-train.json and -labels.json in the root or in labels/", _found, _read)
