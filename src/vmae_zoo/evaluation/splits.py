"""Which videos choose and which train: functions of the videos' ids and a seed, never of the test set."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePath

from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key

# How folder and name of official data sets tell which recording a clip was cut from.
SOURCES = (
    re.compile(r".*/v_(?P<source>.+_g\d+)_c\d+"),  # UCF101: Bowling/v_Bowling_g08_c01
    re.compile(
        r"(?P<of>.+)/(?P<source>.+)_(?P=of)_[fhlu]_[cn]m_np\d_.._..._\d+"
    ),  # HMDB51: run/Film_run_f_cm_np1_ba_med_3
    re.compile(r".*/(?P<source>.{11})_\d{6}_\d{6}"),  # Kinetics: YouTube's id and seconds
)


def source_of(record: ClipRecord) -> str:
    """What a clip was cut from: its group where a table gives one, what its name says, else its own video."""
    if record.group:
        return record.group
    path = PurePath(record.path)
    matches = (pattern.fullmatch(f"{path.parent.name}/{path.stem}") for pattern in SOURCES)
    return next((match["source"] for match in matches if match), record.id.partition("#")[0])


def hold_out(records: Sequence[ClipRecord], share: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """Places of the records that train and of those held back to choose by, at most a share of every class.

    Clips of one source stay together. A class of one video or one source only trains.

    Raises:
        ValueError: the share is not between 0 and 1, or nothing could be held back.
    """
    if not 0 < share < 1:
        raise ValueError(f"the held-back share is {share}: choose one above 0 and below 1")
    sources = defaultdict(list)
    for place, record in enumerate(records):
        sources[source_of(record)].append(place)
    sizes = Counter(record.label for record in records)
    room = {label: min(max(round(share * size), 1), size - 1) for label, size in sizes.items()}
    held: list[int] = []
    for source in sorted(sources, key=lambda source: _bits(source, seed, "hold out")):
        wanted = Counter(records[place].label for place in sources[source])
        if all(count <= room[label] for label, count in wanted.items()):
            held += sources[source]
            room = {label: left - wanted[label] for label, left in room.items()}
    if not held:
        raise ValueError(
            "every class has a single training video, or too few sources of videos: nothing can be held back to "
            "choose a head by"
        )
    return sorted(set(range(len(records))) - set(held)), sorted(held)


def low_shot(records: Sequence[ClipRecord], fraction: float, seed: int = 0) -> list[int]:
    """Places of a share of each class, at least one video; a smaller share is part of a larger one."""
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction of the training videos is above 0 and at most 1, got {fraction}")
    groups = defaultdict(list)
    for place in sorted(range(len(records)), key=lambda place: _bits(records[place].id, seed, "low shot")):
        groups[records[place].label].append(place)
    return sorted(place for places in groups.values() for place in places[: max(round(fraction * len(places)), 1)])


def _bits(name: str, seed: int, purpose: str) -> int:
    """An order that names and the seed decide."""
    return KeyedRNG(sample_key(seed, 0, hash_text(name)), purpose).bits()
