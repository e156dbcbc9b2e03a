"""Splits of clips by their ids and a seed, for data sets without splits of their own, and to select heads.

Clips that were cut from one recording stay together.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from vmae_zoo.datasets.layouts import Catalog, ClipRecord, ClipTable
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key
from vmae_zoo.video.storage import url_of

# File names of official data sets contain the recording that a clip was cut from.
SOURCES = (
    re.compile(r".*/v_(?P<source>.+_g\d+)_c\d+"),  # UCF101: Bowling/v_Bowling_g08_c01
    re.compile(
        r"(?P<of>.+)/(?P<source>.+)_(?P=of)_[fhlu]_[cn]m_np\d_.._..._\d+"
    ),  # HMDB51: run/Film_run_f_cm_np1_ba_med_3
    re.compile(r".*/(?P<source>.{11})_\d{6}_\d{6}"),  # Kinetics: YouTube id and seconds
)


def source_of(record: ClipRecord) -> str:
    """The recording that a clip was cut from: its group, else as its file name states, else its own video."""
    if record.group:
        return record.group
    path = PurePath(record.path)
    matches = (pattern.fullmatch(f"{path.parent.name}/{path.stem}") for pattern in SOURCES)
    return next((match["source"] for match in matches if match), record.id.partition("#")[0])


def hold_out(records: Sequence[ClipRecord], fraction: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """Split records into training ones and held-out ones, at most a fraction of each class.

    Clips of one source stay together. A class with a single video or a single source is only trained on.

    Returns:
        Indices of the training records and of the held-out ones.

    Raises:
        ValueError: the fraction is not between 0 and 1, or nothing can be held out.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"held-out fraction = {fraction}: must be between 0 and 1")
    sources = defaultdict(list)
    for index, record in enumerate(records):
        sources[source_of(record)].append(index)
    sizes = Counter(record.label for record in records)
    room = {label: min(max(round(fraction * size), 1), size - 1) for label, size in sizes.items()}
    held: list[int] = []
    for source in sorted(sources, key=lambda source: _order_key(source, seed, "hold out")):
        wanted = Counter(records[index].label for index in sources[source])
        if all(count <= room[label] for label, count in wanted.items()):
            held += sources[source]
            room = {label: left - wanted[label] for label, left in room.items()}
    if not held:
        raise ValueError(
            "no video can be held out: every class has a single training video, or all its clips are of one source"
        )
    return sorted(set(range(len(records))) - set(held)), sorted(held)


def with_val_share(catalog: Catalog, share: float) -> Catalog:
    """The catalog with a share of its training clips as validation clips, by `hold_out`; they do not depend on a seed.

    Raises:
        ValueError: the share is not between 0 and 1, nothing can be held out, or there are validation clips already.
    """
    if not catalog.records.of_split("train").all():
        raise ValueError(
            f"data.val_share = {share}, but {url_of(catalog.root)} has validation or test clips already: leave it out"
        )
    held = hold_out(catalog.records, share)[1]
    records = catalog.records.with_split("val", held)
    note = f"{len(held)} of {len(records)} clips are held out for validation (data.val_share {share:g})"
    return replace(catalog, records=records, notes=(*catalog.notes, note))


def folds(catalog: Catalog, count: int, seed: int = 0) -> list[Catalog]:
    """Cross-validation: the labeled clips of all splits in parts, each of which is the test set of one catalog.

    Every class is spread evenly over the parts, as far as its sources allow.

    Raises:
        ValueError: there are fewer parts than two, or fewer sources than parts.
    """
    labeled = catalog.records.where(catalog.records.labels >= 0)
    records = ClipTable.of({record.id: record for record in labeled}.values())
    sources = defaultdict(list)
    for index, record in enumerate(records):
        sources[source_of(record)].append(index)
    if not 2 <= count <= len(sources):
        raise ValueError(
            f"{count} folds of {url_of(catalog.root)}: choose from 2 to {len(sources)}, the number of its labeled "
            "sources"
        )
    parts: list[Counter[int]] = [Counter() for _ in range(count)]  # clips of each class
    part_of: dict[int, int] = {}
    for source in sorted(sources, key=lambda name: (-len(sources[name]), _order_key(name, seed, "folds"))):
        labels = Counter(records[index].label for index in sources[source])
        part = min(range(count), key=lambda k: (sum(parts[k][of] for of in labels), parts[k].total(), k))
        parts[part] += labels
        part_of |= dict.fromkeys(sources[source], part)
    return [
        replace(
            catalog,
            split=part + 1,
            records=records.with_split("train").with_split("val", [k for k, of in part_of.items() if of == part]),
        )
        for part in range(count)
    ]


def low_shot(records: Sequence[ClipRecord], fraction: float, seed: int = 0) -> list[int]:
    """Indices of a fraction of each class, at least one video; smaller fractions are subsets of larger ones."""
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction = {fraction}: must be above 0 and at most 1")
    groups = defaultdict(list)
    for index in sorted(range(len(records)), key=lambda index: _order_key(records[index].id, seed, "low shot")):
        groups[records[index].label].append(index)
    return sorted(index for group in groups.values() for index in group[: max(round(fraction * len(group)), 1)])


def _order_key(name: str, seed: int, purpose: str) -> int:
    return KeyedRNG(sample_key(seed, 0, hash_text(name)), purpose).bits()
