"""Which rows an epoch draws, and how often: every row once, unless sources have weights."""

from collections.abc import Sequence

import torch

from vmae_zoo.randomness import hash_text, random_order, sample_key


class WeightedEpochs:
    """The clips of each epoch.

    An epoch holds ``round(weight * rows)`` clips of a source. They are taken from one endless sequence, all rows in a
    random order, then all in another, and so on; so weight 2 gives each row twice an epoch, and weight 0.5 gives each
    row once in two epochs. What an epoch holds is a function of (seed, epoch) alone.

    Args:
        names: of the sources, whose rows lie one after the other; the names are part of the randomness.
        rows: of each source.
        weights: of each source, positive.
        seed: of the orders.
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
        """Rows of an epoch, source by source, and the number of each among the copies of its row: int64 (clips,)."""
        first, rows, copies = 0, [], []
        for name, count, clips in zip(self.names, self.rows, self.clips, strict=True):
            begin, end = epoch * clips, (epoch + 1) * clips
            for copy, turn in enumerate(range(begin // count, -(-end // count)) if count else ()):
                part = slice(max(begin - turn * count, 0), min(end - turn * count, count))
                if part == slice(0, count):
                    order = torch.arange(count)
                else:
                    key = sample_key(self.seed, turn, hash_text(f"share of {name}"))
                    order = random_order(torch.tensor([key]), count, "share")[0][part]
                rows.append(first + order)
                copies.append(torch.full_like(order, copy))
            first += count
        return torch.cat(rows), torch.cat(copies)


def every_record(count: int) -> WeightedEpochs:
    """Every row once an epoch."""
    return WeightedEpochs(["all"], [count], [1.0])
