"""Which videos choose and which train: functions of the videos' ids and a seed, never of the test set."""

from collections import defaultdict
from collections.abc import Sequence

from vmae_zoo.data.catalog import Row
from vmae_zoo.randomness import Draws, hash_text, sample_key


def hold_out(rows: Sequence[Row], share: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """Places of the rows that train and of those held back to choose by, a share of every class.

    A class of one video only trains.

    Raises:
        ValueError: the share is not between 0 and 1, or nothing could be held back.
    """
    if not 0 < share < 1:
        raise ValueError(f"the held-back share is {share}: choose one above 0 and below 1")
    kept, held = [], []
    for places in _by_class(rows, seed, "hold out").values():
        count = min(max(round(share * len(places)), 1), len(places) - 1)
        held += places[:count]
        kept += places[count:]
    if not held:
        raise ValueError("every class has a single training video: nothing can be held back to choose a head by")
    return sorted(kept), sorted(held)


def low_shot(rows: Sequence[Row], fraction: float, seed: int = 0) -> list[int]:
    """Places of a share of each class, at least one video; a smaller share is part of a larger one."""
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction of the training videos is above 0 and at most 1, got {fraction}")
    groups = _by_class(rows, seed, "low shot").values()
    return sorted(place for places in groups for place in places[: max(round(fraction * len(places)), 1)])


def _by_class(rows: Sequence[Row], seed: int, purpose: str) -> dict[int, list[int]]:
    """Places of each class in an order that the ids and the seed decide."""
    order = {place: Draws(sample_key(seed, 0, hash_text(row.id)), purpose).bits() for place, row in enumerate(rows)}
    groups = defaultdict(list)
    for place in sorted(order, key=order.__getitem__):
        groups[rows[place].label].append(place)
    return dict(groups)
