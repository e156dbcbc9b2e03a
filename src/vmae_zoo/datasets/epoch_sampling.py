"""Which clips an epoch holds: every clip once, or each data set of a mixture in proportion to its weight."""

from collections.abc import Sequence

import torch

from vmae_zoo.randomness import hash_text, random_order, sample_key


class WeightedEpochs:
    """The clips of each epoch, a function of (seed, epoch) alone.

    An epoch holds ``round(weight * rows)`` clips of a data set, consecutive parts of an endless sequence of random
    permutations of its rows. With weight 2 an epoch holds each row twice; with weight 0.5 each row comes once in two
    epochs.

    Args:
        names: names of the data sets, whose rows are concatenated; part of the random key.
        rows: number of rows of each data set.
        weights: weight of each data set, positive.
        seed: seed of the permutations.
    """

    def __init__(self, names: Sequence[str], rows: Sequence[int], weights: Sequence[float], seed: int = 0):
        self.names, self.rows, self.weights, self.seed = names, rows, weights, seed
        self.clips = [
            max(round(count * weight), 1) if count else 0 for count, weight in zip(rows, weights, strict=True)
        ]

    def __len__(self) -> int:
        return sum(self.clips)

    def __str__(self) -> str:
        parts = [
            f"{name} {count} x {weight:g}"
            for name, count, weight in zip(self.names, self.rows, self.weights, strict=True)
        ]
        return ", ".join(parts)

    def clips_of(self, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of an epoch, one data set after the other, and how often each row came before in it: int64 (clips,)."""
        first, rows, copies = 0, [], []
        for name, count, clips in zip(self.names, self.rows, self.clips, strict=True):
            begin, end = epoch * clips, (epoch + 1) * clips
            for copy, permutation in enumerate(range(begin // count, -(-end // count)) if count else ()):
                part = slice(max(begin - permutation * count, 0), min(end - permutation * count, count))
                if part == slice(0, count):
                    order = torch.arange(count)
                else:
                    key = sample_key(self.seed, permutation, hash_text(f"share of {name}"))
                    order = random_order(torch.tensor([key]), count, "share")[0][part]
                rows.append(first + order)
                copies.append(torch.full_like(order, copy))
            first += count
        return torch.cat(rows), torch.cat(copies)


def every_record(count: int) -> WeightedEpochs:
    """Epochs that hold every row once."""
    return WeightedEpochs(["all"], [count], [1.0])
