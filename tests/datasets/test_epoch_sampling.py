"""The clips of an epoch of each source: counts, rotation, and independence of other sources."""

from collections import Counter
from itertools import chain

import pytest

from vmae_zoo.data.sampler import ResumableBatchSampler
from vmae_zoo.datasets.epoch_sampling import WeightedEpochs, every_record


def pairs(draw, epoch):
    rows, copies = draw.clips_of(epoch)
    return list(zip(rows.tolist(), copies.tolist(), strict=True))


def test_without_weights_every_row_comes_once():
    assert pairs(every_record(7), 3) == [(row, 0) for row in range(7)]
    assert pairs(WeightedEpochs("ab", [3, 2], [1, 1]), 3) == [(row, 0) for row in range(5)]


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.7, 1, 1.5, 2, 3.3])
def test_an_epoch_holds_the_weights_share_and_all_rows_take_turns(weight):
    draw = WeightedEpochs("ab", [10, 20], [weight, 1], seed=4)
    total = Counter()
    for epoch in range(30):
        drawn = pairs(draw, epoch)
        assert len(drawn) == len(set(drawn)) == len(draw) == round(10 * weight) + 20
        total.update(row for row, _ in drawn)
        counts = [total[row] for row in range(10)]
        assert max(counts) - min(counts) <= 1  # no row comes again before all others
    assert [total[row] for row in range(10, 30)] == [30] * 20


def test_halves_differ_from_seed_to_seed_and_not_with_the_other_sources():
    alone = [row for row, _ in pairs(WeightedEpochs("a", [50], [0.5], 1), 0)]
    assert alone != [row for row, _ in pairs(WeightedEpochs("a", [50], [0.5], 2), 0)]
    assert alone == [row - 9 for row, _ in pairs(WeightedEpochs("ba", [9, 50], [1, 0.5], 1), 0) if row >= 9]


def test_a_source_without_training_clips_gives_none():
    assert pairs(WeightedEpochs("ab", [0, 2], [1, 1]), 0) == [(0, 0), (1, 0)]


@pytest.mark.parametrize(("batch_size", "accumulation", "world_size"), [(12, 1, 1), (4, 3, 1), (2, 3, 2)])
def test_a_step_holds_the_same_clips_however_it_is_split_and_resumed(batch_size, accumulation, world_size):
    draw = WeightedEpochs("ab", [20, 10], [1.5, 0.5], seed=1)

    def places(epoch, seen, *split):
        ranks = []
        for rank in range(split[2]):
            sampler = ResumableBatchSampler(draw, split[0], split[1], rank, split[2], seed=1)
            sampler.seek(epoch, seen)
            ranks.append(list(sampler))
        return list(chain(*(chain(*batches) for batches in zip(*ranks, strict=True))))

    for epoch in range(3):
        whole = places(epoch, 0, 12, 1, 1)
        assert len(set(whole)) == len(whole) == 24  # of 35: two whole steps
        assert places(epoch, 0, batch_size, accumulation, world_size) == whole
        assert places(epoch, 12, batch_size, accumulation, world_size) == whole[12:]
