"""The order of clips: resumable batches for training, and equal shards for evaluation.

The order of an epoch is a function of (seed, epoch) alone. It is divided into global batches (one optimizer step over
all processes), and a global batch into micro-batches by accumulation step and process. So the clips of a step do not
depend on the number of processes, and a run can be resumed with another batch size or number of processes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from vmae_zoo.datasets.epoch_sampling import WeightedEpochs, every_record
from vmae_zoo.randomness import hash_text, random_order, sample_key


class SampleRef(NamedTuple):
    """Index of a record, the epoch, and how often the record came before in it: parts of the random key."""

    record: int
    epoch: int
    repeat: int


class ResumableBatchSampler(Sampler[list[SampleRef]]):
    """Micro-batches of one process, in a new order every epoch, from any position in the epoch.

    Clips that do not fill a global batch are left out, different ones every epoch. The length is that of the whole
    epoch wherever it starts, because Lightning includes the batches before a restart in its count.

    Args:
        epochs: clips of each epoch; or the number of records, each of which comes once.
        batch_size: clips per micro-batch.
        accumulation: micro-batches per process and optimizer step.
        rank: index of this process.
        world_size: number of processes.
        seed: seed of the order.
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
        """Clips per optimizer step over all processes."""
        return self.batch_size * self.accumulation * self.world_size

    @property
    def sampler(self) -> "ResumableBatchSampler":
        """Itself: Lightning calls ``batch_sampler.sampler.set_epoch``."""
        return self

    @property
    def steps_left(self) -> int:
        """Optimizer steps from the position to the end of the epoch."""
        return max(self.clips - self.seen, 0) // self.global_batch

    @property
    def skipped(self) -> int:
        """Micro-batches of the epoch before the position."""
        return len(self) - self.steps_left * self.accumulation

    def seek(self, epoch: int, seen: int = 0) -> None:
        """Go to the position after the first ``seen`` clips of an epoch."""
        self.epoch, self.seen = epoch, seen

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless already in it."""
        if epoch != self.epoch:
            self.seek(epoch)

    def seen_after(self, micro_batches: int) -> int:
        """Clips used by complete optimizer steps after the first ``micro_batches`` micro-batches of the epoch."""
        return self.seen + max(micro_batches - self.skipped, 0) // self.accumulation * self.global_batch

    def order(self) -> torch.Tensor:
        """Row and repeat of all clips in the order of the epoch: int64 (clips, 2)."""
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
    """Every row once, divided among the processes, with the same number of batches on each: none waits for another.

    A process with fewer rows than batches reads some of them again: if batch_size is 1, or with fewer rows than
    processes. Sizes of batches in a process differ by at most one.
    """

    def __init__(self, rows: int, batch_size: int, rank: int = 0, world_size: int = 1):
        self.batches = -(-rows // (world_size * batch_size))
        self.rows, self.rank, self.world_size = rows, rank, world_size

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[SampleRef]]:
        count = max(len(range(self.rank, self.rows, self.world_size)), self.batches)
        for batch in range(self.batches):
            numbers = range(count * batch // self.batches, count * (batch + 1) // self.batches)
            yield [SampleRef((self.rank + number * self.world_size) % self.rows, 0, 0) for number in numbers]
