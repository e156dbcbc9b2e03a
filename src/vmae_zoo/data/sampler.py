"""Which clips come when: batches that know their place in the epoch, and equal shares for validation.

The order of an epoch is a function of (seed, epoch) alone, cut into global batches (one optimiser step over all
processes); a global batch is cut into micro-batches by accumulation step and process. So the clips of a step are the
same on one process and on eight, and a run goes on where it stopped although its batch size or its number of processes
has changed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from vmae_zoo.datasets.epoch_sampling import WeightedEpochs, every_record
from vmae_zoo.randomness import hash_text, random_order, sample_key


class SampleRef(NamedTuple):
    """What a data set is asked for.

    Args:
        record: index of the record.
        epoch: whose random choices to make.
        repeat: which of the record's copies in the epoch.
    """

    record: int
    epoch: int
    repeat: int


class ResumableBatchSampler(Sampler[list[SampleRef]]):
    """Micro-batches of one process, in an order that is new every epoch, from any place in the epoch.

    Rows that do not fill a global batch are left out, others every epoch. Its length is the whole epoch's wherever it
    starts: Lightning counts what a resumed run has done against it.

    Args:
        epochs: clips of each epoch; or the number of records, each of which comes once.
        batch_size: clips of a micro-batch.
        accumulation: micro-batches of each process in an optimiser step.
        rank: number of this process.
        world_size: number of processes.
        seed: of the order.
    """

    def __init__(
        self,
        epochs: WeightedEpochs | int,
        batch_size: int,
        accumulation: int = 1,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
    ):
        self.epochs = every_record(epochs) if isinstance(epochs, int) else epochs
        self.clips = len(self.epochs)
        self.batch_size = batch_size
        self.accumulation = accumulation
        self.rank = rank
        self.world_size = world_size
        self.seed = seed
        self.seek(0)

    @property
    def global_batch(self) -> int:
        """Clips of an optimiser step over all processes."""
        return self.batch_size * self.accumulation * self.world_size

    @property
    def sampler(self) -> "ResumableBatchSampler":
        """Itself: Lightning tells ``batch_sampler.sampler`` the epoch."""
        return self

    @property
    def steps_left(self) -> int:
        """Optimiser steps from the place to the end of the epoch."""
        return max(self.clips - self.seen, 0) // self.global_batch

    @property
    def skipped(self) -> int:
        """Micro-batches that count as done at the place."""
        return len(self) - self.steps_left * self.accumulation

    def seek(self, epoch: int, seen: int = 0) -> None:
        """Go to an epoch, behind the ``seen`` clips of its order that the run has had."""
        self.epoch, self.seen = epoch, seen

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless already in it."""
        if epoch != self.epoch:
            self.seek(epoch)

    def seen_after(self, micro_batches: int) -> int:
        """Clips of the epoch's order that whole optimiser steps have used after so many micro-batches of the epoch."""
        return self.seen + max(micro_batches - self.skipped, 0) // self.accumulation * self.global_batch

    def order(self) -> torch.Tensor:
        """Row and copy of all clips in the order of the epoch: int64 (clips, 2)."""
        key = sample_key(self.seed, self.epoch, hash_text("order of an epoch"))
        order = random_order(torch.tensor([key]), self.clips, "order")[0]
        return torch.stack(self.epochs.clips_of(self.epoch), dim=1)[order]

    def __len__(self) -> int:
        return self.clips // self.global_batch * self.accumulation

    def __iter__(self) -> Iterator[list[SampleRef]]:
        epoch, order = self.epoch, self.order()[self.seen :]
        stride = self.batch_size * self.world_size
        for micro_batch in range(self.steps_left * self.accumulation):
            first = micro_batch * stride + self.rank * self.batch_size
            yield [SampleRef(index, epoch, copy) for index, copy in order[first : first + self.batch_size].tolist()]


class ShardedEvalSampler(Sampler[list[SampleRef]]):
    """Every row once, shared among the processes, in the same number of batches of the same sizes on each.

    So a mean of what each batch logged, weighted by its size, is the mean over clips. Where the rows do not divide by
    the processes, as few as it takes are read twice: nobody waits for anybody, and Lightning 2.6, which averages the
    processes' clip counts as whole numbers, would be wrong by more with unequal ones.

    Args:
        rows: clips of the data set.
        batch_size: most clips of a batch; batches differ by at most one.
        rank: number of this process.
        world_size: number of processes.
    """

    def __init__(self, rows: int, batch_size: int, rank: int = 0, world_size: int = 1):
        self.mine = [(rank + share * world_size) % rows for share in range(-(-rows // world_size))]
        self.batches = -(-len(self.mine) // batch_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[SampleRef]]:
        count = len(self.mine)
        for batch in range(self.batches):
            share = self.mine[count * batch // self.batches : count * (batch + 1) // self.batches]
            yield [SampleRef(index, 0, 0) for index in share]
