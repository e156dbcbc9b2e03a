"""What every probe does: choose a head on the training set, then, and only then, look at the test set.

Heads with different settings are trained side by side on a part of the training set; the best on the part held back is
trained again on all of it.

Shapes: R videos, H heads, K classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

import torch
from torch import Tensor

from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.splits import hold_out
from vmae_zoo.randomness import hash_text, random_order, sample_key
from vmae_zoo.training.metrics import ClassificationMetrics, confusion

Settings = dict[str, float]


class HeadSearch(Protocol):
    """What there is to choose from, and by how much of the training set."""

    @property
    def heads(self) -> list[Settings]:
        """What each head is trained with."""

    @property
    def held_back(self) -> float:
        """Share of the training set that chooses."""

    @property
    def seed(self) -> int:
        """Of what is held back."""


@dataclass(frozen=True)
class Sweep:
    """Heads for every pair of learning rate and weight decay, and how they are trained.

    Args:
        learning_rates: at the start; they fall to 0 by half a cosine.
        weight_decays: of the heads' weights.
        epochs: passes over the training set; more where that is fewer than ``least_steps``.
        least_steps: of the optimiser.
        batch_size: samples in a step.
        held_back: share of the training set that chooses.
        seed: of the order, of the start and of what is held back.
    """

    learning_rates: Sequence[float]
    weight_decays: Sequence[float]
    epochs: int = 50
    least_steps: int = 1000
    batch_size: int = 1024
    held_back: float = 0.2
    seed: int = 0

    @property
    def heads(self) -> list[Settings]:
        """What each head is trained with."""
        pairs = product(self.learning_rates, self.weight_decays)
        return [{"learning_rate": rate, "weight_decay": decay} for rate, decay in pairs]

    def steps(self, samples: int) -> tuple[int, int]:
        """Steps of an epoch and of the whole training."""
        per_epoch = max(samples // self.batch_size, 1)
        return per_epoch, max(self.epochs * per_epoch, self.least_steps)


def batches(samples: int, sweep: Sweep, device: torch.device) -> Iterator[tuple[float, Tensor]]:
    """Share of the training that is done, and the samples of each step, in a new order every epoch."""
    per_epoch, steps = sweep.steps(samples)
    size = min(sweep.batch_size, samples)
    order_M = torch.arange(samples, device=device)
    for step in range(steps):
        epoch, place = divmod(step, per_epoch)
        if place == 0 and size < samples:
            key = torch.tensor([sample_key(sweep.seed, epoch, hash_text("order of a probe"))], device=device)
            order_M = random_order(key, samples, "order")[0]
        yield step / steps, order_M[place * size : (place + 1) * size]


Heads = Callable[[Features], Tensor]  # probabilities (H, R, K), averaged over views
Fit = Callable[[Features, int, Sequence[Settings], Any, torch.device], Heads]


@dataclass(frozen=True)
class SelectedHead:
    """A head, chosen without the test set.

    Args:
        head: trained on all of the training set.
        settings: what it was trained with.
        held_back: top-1 in percent of these settings on the part that chose.
        tried: settings and top-1 of all heads on that part.
    """

    head: Heads = field(repr=False)
    settings: dict[str, float]
    held_back: float
    tried: list[dict[str, float]] = field(repr=False)


@dataclass(frozen=True)
class ProbeResult:
    """A chosen head and what it is worth.

    Args:
        chosen: the head.
        scores: on the test set.
        probabilities: (R, K) of the test videos.
        confusion: (K, K), true class (record) against most probable class (column).
    """

    chosen: SelectedHead
    scores: ClassificationMetrics
    probabilities: Tensor = field(repr=False)
    confusion: Tensor = field(repr=False)

    def asdict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.scores.asdict(),
            "chosen": self.chosen.settings,
            "held_back_top1": round(self.chosen.held_back, 4),
            "tried": self.chosen.tried,
            "confusion": self.confusion.tolist(),
        }


def choose(
    fit: Fit, train: Features, classes: int, sweep: HeadSearch, device: str | torch.device = "cpu"
) -> SelectedHead:
    """The best head of a sweep, by a held-back part of the training set; ties go to the likelier one."""
    device, heads = torch.device(device), sweep.heads
    kept, held = hold_out(train.records, sweep.held_back, sweep.seed)
    held_HRK = fit(train.part(kept), classes, heads, sweep, device)(train.part(held)).cpu()
    label_R = train.part(held).labels()
    right_H = (held_HRK.argmax(2) == label_R).double().mean(1).tolist()
    likelihood_H = held_HRK[:, torch.arange(len(held)), label_R].clamp_min(1e-12).log().mean(1).tolist()
    best = max(range(len(heads)), key=lambda head: (right_H[head], likelihood_H[head]))
    return SelectedHead(
        fit(train, classes, [heads[best]], sweep, device),
        heads[best],
        100 * right_H[best],
        [{**head, "held_back_top1": round(100 * right, 4)} for head, right in zip(heads, right_H, strict=True)],
    )


def judge(chosen: SelectedHead, test: Features) -> ProbeResult:
    """The chosen head on the test set."""
    probability_RK = chosen.head(test)[0].cpu()
    label_R = test.labels()
    return ProbeResult(
        chosen, ClassificationMetrics.of(probability_RK, label_R), probability_RK, confusion(probability_RK, label_R)
    )
