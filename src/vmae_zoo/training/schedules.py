"""Learning-rate and weight-decay schedules per optimizer step: warm-up, then a cosine, a line or a constant."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmae_zoo.data.interfaces import data_of
from vmae_zoo.setting_checks import check_choice, check_least


@dataclass(frozen=True)
class RunLength:
    """The length of a run.

    ``global_batch`` are clips per optimizer step over all processes, before repeats; None if it is not known.
    """

    steps: int
    warmup_steps: int
    global_batch: int | None


def run_length(trainer: Any, warmup_epochs: float, warmup_steps: int | None = None) -> RunLength:
    """The length of the run of ``trainer``: ``max_steps``, or ``max_epochs`` times the data's steps per epoch.

    Lightning's ``estimated_stepping_batches`` is not used, because it creates the data loader before a resumed run has
    restored its position.

    Raises:
        ValueError: neither is known, or ``warmup_epochs`` are given and the steps per epoch are not known.
    """
    data = data_of(trainer)
    per_epoch = _limited(data.steps_per_epoch, trainer)
    limits = trainer.max_steps, (trainer.max_epochs or -1) * (per_epoch or 0)
    steps = min((limit for limit in limits if limit > 0), default=None)
    if steps is None:
        raise ValueError(
            "the learning-rate schedule needs the length of the run: give trainer.max_steps, or trainer.max_epochs and "
            "a data module with steps_per_epoch, such as ClipDataModule"
        )
    if warmup_steps is None:
        if warmup_epochs and not per_epoch:
            raise ValueError(
                f"warmup_epochs = {warmup_epochs} needs a data module with steps_per_epoch, such as ClipDataModule: "
                "give warmup_steps instead"
            )
        warmup_steps = round(warmup_epochs * (per_epoch or 0))
    return RunLength(steps, warmup_steps, data.global_batch)


def _limited(steps_per_epoch: int | None, trainer: Any) -> int | None:
    """Optimizer steps of an epoch with ``trainer.limit_train_batches``: a share, or a number of batches."""
    limit, accumulated = trainer.limit_train_batches, trainer.accumulate_grad_batches
    if steps_per_epoch is None:
        return None
    batches = steps_per_epoch * accumulated
    return math.ceil(min(int(batches * limit) if isinstance(limit, float) else limit, batches) / accumulated)


DECAYS = ("cosine", "linear", "constant")


@dataclass(frozen=True)
class Schedule:
    """Factor on the learning rate, and weight decay, at each optimizer step of a run.

    Args:
        steps: optimizer steps of the run.
        warmup_steps: optimizer steps of the linear warm-up, ``linspace(start, 1, warmup_steps)``.
        start: factor at the start of the warm-up (0 in the VideoMAE family; 0.19 in V-JEPA 2).
        final: factor at the end of the decay.
        decay: after the warm-up: "cosine", "linear" (cool-down of V-JEPA 2) or "constant" (its first phase).
        stretch: length of the schedule over that of the run, which then ends before it (1.25 in V-JEPA: ipe_scale).
        first_step: number of the first step: 0, or 1 in V-JEPA.
    """

    steps: int
    warmup_steps: int = 0
    start: float = 0.0
    final: float = 0.0
    decay: str = "cosine"
    stretch: float = 1.0
    first_step: int = 0

    def __post_init__(self) -> None:
        check_choice("lr_decay", self.decay, DECAYS)
        check_least("", 1, schedule_stretch=self.stretch)

    def lr_factor(self, step: int) -> float:
        """Factor on the learning rate at a 0-based step."""
        number, warmup = step + self.first_step, self.warmup_steps
        if number < warmup:
            return self.start + (1 - self.start) * number / max(warmup - 1 + self.first_step, 1)
        if self.decay == "constant":
            return 1.0
        progress = min((number - warmup) / max(int(self.steps * self.stretch) - warmup, 1), 1.0)
        return _interpolate(1.0, self.final, progress, self.decay)

    def weight_decay(self, step: int, start: float, end: float) -> float:
        """Weight decay at a 0-based step, from ``start`` to ``end`` by half a cosine."""
        progress = (step + self.first_step) / max(int(self.steps * self.stretch), 1)
        return _interpolate(start, end, min(progress, 1.0), "cosine")


def multistep(step: int, milestones: Sequence[float]) -> float:
    """Factor on the learning rate at a 0-based step: divided by 10 at each milestone."""
    return 0.1 ** sum(step >= milestone for milestone in milestones)


def _interpolate(start: float, end: float, progress: float, decay: str) -> float:
    return end + (start - end) * (1 - progress if decay == "linear" else 0.5 * (1 + math.cos(math.pi * progress)))
