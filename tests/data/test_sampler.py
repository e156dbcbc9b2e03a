from itertools import chain

import pytest

from vmae_zoo.data.sampler import ResumableBatchSampler, ShardedEvalSampler


def steps(rows, batch_size, accumulation=1, world_size=1, epoch=0, seen=0, seed=0):
    """The clips of each optimizer step, over all processes, in the order of the epoch."""
    ranks = []
    for rank in range(world_size):
        sampler = ResumableBatchSampler(rows, batch_size, accumulation, rank, world_size, seed)
        sampler.seek(epoch, seen)
        batches = list(sampler)
        assert all(ref.epoch == epoch for ref in chain(*batches))
        ranks.append([[row for row, _, _ in batch] for batch in batches])
    micro = [list(chain(*batches)) for batches in zip(*ranks, strict=True)]
    return [list(chain(*micro[i : i + accumulation])) for i in range(0, len(micro), accumulation)]


def test_an_epoch_has_no_clip_twice_and_leaves_out_less_than_a_step():
    clips = list(chain(*steps(50, 4, 3)))
    assert len(clips) == len(set(clips)) == 48
    assert set(clips) <= set(range(50))


def test_every_clip_comes_sooner_or_later():
    seen = {clip for epoch in range(12) for clip in chain(*steps(50, 4, 3, epoch=epoch))}
    assert seen == set(range(50))


def test_order_depends_on_seed_and_epoch_alone():
    assert steps(40, 4) == steps(40, 4)
    assert steps(40, 4) != steps(40, 4, epoch=1)
    assert steps(40, 4) != steps(40, 4, seed=1)


@pytest.mark.parametrize(("batch_size", "accumulation", "world_size"), [(12, 1, 1), (4, 3, 1), (2, 3, 2), (3, 1, 4)])
def test_a_step_holds_the_same_clips_however_it_is_split(batch_size, accumulation, world_size):
    assert steps(50, batch_size, accumulation, world_size) == steps(50, 12)


@pytest.mark.parametrize("done", range(5))
def test_resumes_after_the_clips_seen_and_keeps_the_epochs_length(done):
    whole = ResumableBatchSampler(50, 2, 3, 1, 2)
    rest = ResumableBatchSampler(50, 2, 3, 1, 2)
    rest.seek(0, whole.seen_after(done * 3))
    assert list(rest) == list(whole)[done * 3 :]
    assert len(rest) == len(whole) == 12
    assert rest.skipped == done * 3


def test_an_unfinished_step_is_done_again():
    sampler = ResumableBatchSampler(50, 2, 3, 0, 2)
    assert [sampler.seen_after(micro) for micro in range(7)] == [0, 0, 0, 12, 12, 12, 24]


def test_another_world_size_keeps_the_position():
    before = steps(50, 4, 1, 3)[:2]
    after = steps(50, 4, 3, 1, seen=24)
    assert before + after == steps(50, 12)


def test_another_global_batch_keeps_the_position():
    sampler = ResumableBatchSampler(50, 5, 2)
    sampler.seek(0, 24)  # two steps of 12
    clips = list(chain(*(row for row in [[row for row, _, _ in batch] for batch in sampler])))
    assert clips == sampler.order()[24:44, 0].tolist()
    assert len(sampler) - sampler.skipped == 4
    assert sampler.seen_after(sampler.skipped + 2) == 34


def test_a_new_epoch_starts_at_its_beginning():
    sampler = ResumableBatchSampler(50, 4)
    sampler.seek(3, 20)
    sampler.set_epoch(3)
    assert sampler.skipped == 5
    sampler.set_epoch(4)
    assert (sampler.epoch, sampler.skipped) == (4, 0)


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize(("rows", "batch_size"), [(5, 2), (5, 1), (17, 4), (100, 8), (2, 4)])
def test_validation_reads_every_clip_once_in_as_many_batches_on_each_process(rows, batch_size, world_size):
    ranks = [list(ShardedEvalSampler(rows, batch_size, rank, world_size)) for rank in range(world_size)]
    sizes = [[len(batch) for batch in batches] for batches in ranks]
    assert len({len(own) for own in sizes}) == 1
    for own in sizes:
        assert 1 <= min(own) <= max(own) <= batch_size
        assert max(own) - min(own) <= 1
    read = [row for batches in ranks for batch in batches for row, _, _ in batch]
    assert set(read) == set(range(rows))
    assert len(read) == (rows if batch_size > 1 and rows >= world_size else max(rows, len(sizes[0]) * world_size))
