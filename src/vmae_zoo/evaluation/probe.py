"""What every probe shares: a head is selected on the training set, then evaluated once on the test set.

Heads with different settings are trained side by side on a part of the training set; the settings that are best on the
held-out part are trained again on all of it.

Shapes: R videos, H heads, K classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vmae_zoo.datasets.splits import hold_out
from vmae_zoo.evaluation.features import Features
from vmae_zoo.randomness import hash_text, random_order, sample_key
from vmae_zoo.training.metrics import ClassificationMetrics, confusion

if TYPE_CHECKING:
    from vmae_zoo.evaluation.linear_probe import LBFGSSweep

Settings = dict[str, float]
HELD_OUT = 0.2  # fraction of the training set that selects the head


@dataclass(frozen=True)
class Sweep:
    """A head for every pair of learning rate and weight decay.

    Args:
        learning_rates: initial rates; they decay to 0 by half a cosine.
        weight_decays: of the heads' weights.
        epochs: passes over the training set; more if that is fewer than ``min_steps``.
        min_steps: fewest optimizer steps.
        batch_size: samples per step.
        seed: seed of order, initialization and held-out part.
    """

    learning_rates: Sequence[float]
    weight_decays: Sequence[float]
    epochs: int = 50
    min_steps: int = 1000
    batch_size: int = 1024
    seed: int = 0

    @property
    def heads(self) -> list[Settings]:
        """Settings of each head."""
        pairs = product(self.learning_rates, self.weight_decays)
        return [{"learning_rate": rate, "weight_decay": decay} for rate, decay in pairs]

    def steps(self, samples: int) -> tuple[int, int]:
        """Steps per epoch and in total."""
        per_epoch = max(samples // self.batch_size, 1)
        return per_epoch, max(self.epochs * per_epoch, self.min_steps)


def batches(samples: int, sweep: Sweep, device: torch.device) -> Iterator[tuple[float, Tensor]]:
    """Progress in [0, 1) and the samples of each step, in a new order every epoch."""
    per_epoch, steps = sweep.steps(samples)
    size = min(sweep.batch_size, samples)
    order_M = torch.arange(samples, device=device)
    for step in range(steps):
        epoch, batch = divmod(step, per_epoch)
        if batch == 0 and size < samples:
            key = torch.tensor([sample_key(sweep.seed, epoch, hash_text("order of a probe"))], device=device)
            order_M = random_order(key, samples, "order")[0]
        yield step / steps, order_M[batch * size : (batch + 1) * size]


Heads = Callable[[Features], Tensor]  # probabilities (H, R, K), averaged over views
Fit = Callable[[Features, int, Sequence[Settings], Any, torch.device], Heads]


@dataclass(frozen=True)
class SelectedHead:
    """A head, selected without the test set and trained on all of the training set.

    ``held_out_top1``, in percent, is that of its settings on the held-out part; ``tried`` lists all settings with
    theirs.
    """

    head: Heads = field(repr=False)
    settings: dict[str, float]
    held_out_top1: float
    tried: list[dict[str, float]] = field(repr=False)


@dataclass(frozen=True)
class ProbeResult:
    """A selected head and its accuracy on the test set.

    ``confusion`` holds counts, (K, K), true class (row) against predicted class (column).
    """

    selected: SelectedHead
    metrics: ClassificationMetrics
    confusion: Tensor = field(repr=False)

    def details(self) -> dict[str, Any]:
        """How the head was selected, for JSON."""
        return {
            "chosen": self.selected.settings,
            "held_back_top1": round(self.selected.held_out_top1, 4),
            "tried": self.selected.tried,
        }


def select(
    fit: Fit, train: Features, classes: int, search: "Sweep | LBFGSSweep", device: str | torch.device = "cpu"
) -> SelectedHead:
    """The best head of a search on the held-out part of the training set; of equal ones the more likely one."""
    device, heads = torch.device(device), search.heads
    kept, held = hold_out(train.records, HELD_OUT, search.seed)
    held_HRK = fit(train.subset(kept), classes, heads, search, device)(train.subset(held)).cpu()
    label_R = train.subset(held).labels()
    accuracy_H = (held_HRK.argmax(2) == label_R).double().mean(1).tolist()
    likelihood_H = held_HRK[:, torch.arange(len(held)), label_R].clamp_min(1e-12).log().mean(1).tolist()
    best = max(range(len(heads)), key=lambda head: (accuracy_H[head], likelihood_H[head]))
    return SelectedHead(
        fit(train, classes, [heads[best]], search, device),
        heads[best],
        100 * accuracy_H[best],
        [{**head, "held_back_top1": round(100 * found, 4)} for head, found in zip(heads, accuracy_H, strict=True)],
    )


def evaluate(selected: SelectedHead, test: Features) -> ProbeResult:
    """The selected head on the test set."""
    probability_RK, label_R = selected.head(test)[0].cpu(), test.labels()
    metrics = ClassificationMetrics.of(probability_RK, label_R)
    return ProbeResult(selected, metrics, confusion(probability_RK, label_R))
