"""Learning-rate and weight-decay schedules per optimizer step: warm-up, then a cosine, a line or a constant."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmae_zoo.data.interfaces import data_of


@dataclass(frozen=True)
class RunLength:
    """The length of a run.

    Args:
        steps: optimizer steps of the whole run.
        warmup_steps: optimizer steps of the warm-up.
        global_batch: clips per optimizer step over all processes, before repeats; None if it is not known.
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
    per_epoch = data.steps_per_epoch
    if trainer.max_steps > 0:
        steps = trainer.max_steps
        if per_epoch and trainer.max_epochs and trainer.max_epochs > 0:
            steps = min(steps, trainer.max_epochs * per_epoch)
    elif per_epoch and trainer.max_epochs and trainer.max_epochs > 0:
        steps = trainer.max_epochs * per_epoch
    else:
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


def warmup_cosine(step: int, steps: int, warmup_steps: int, final: float) -> float:
    """Factor on the learning rate at a step, equal to the per-iteration list of the official programs.

    Args:
        step: 0-based optimizer step.
        steps: optimizer steps of the whole run.
        warmup_steps: length of the linear warm-up ``linspace(0, 1, warmup_steps)``; the first step has rate 0.
        final: factor at the end of the cosine.
    """
    if step < warmup_steps:
        return step / max(warmup_steps - 1, 1)
    progress = min((step - warmup_steps) / max(steps - warmup_steps, 1), 1.0)
    return final + 0.5 * (1 - final) * (1 + math.cos(math.pi * progress))


def multistep(step: int, milestones: Sequence[float]) -> float:
    """Factor on the learning rate at a 0-based step: divided by 10 at each milestone."""
    return 0.1 ** sum(step >= milestone for milestone in milestones)


DECAYS = ("cosine", "linear", "constant")


@dataclass(frozen=True)
class Schedule:
    """Values of each optimizer step, all as shares of the full learning rate or as plain numbers.

    Args:
        steps: optimizer steps of the run.
        warmup_steps: the first of them, in which the rate rises.
        start: share of the full rate at the beginning of the warm-up (0 in the VideoMAE family; 0.19 in V-JEPA 2).
        final: share that the decay ends at.
        decay: after the warm-up: "cosine"; "linear" (V-JEPA 2's cool-down); or "constant" (its first phase).
        stretch: the decay is laid out for so many times the run, whose end it then does not reach (1.25 in V-JEPA,
            which calls it ipe_scale).
        counted_from: number of the first step: 0, or 1 in V-JEPA, whose first step has already risen.
    """

    steps: int
    warmup_steps: int = 0
    start: float = 0.0
    final: float = 0.0
    decay: str = "cosine"
    stretch: float = 1.0
    counted_from: int = 0

    def __post_init__(self) -> None:
        if self.decay not in DECAYS:
            raise ValueError(f"lr_decay = {self.decay!r} is not known: choose one of {', '.join(DECAYS)}")
        if self.stretch < 1:
            raise ValueError(f"schedule_stretch = {self.stretch}: must be >= 1")

    def rate(self, step: int) -> float:
        """Share of the full learning rate at a 0-based step."""
        count, warmup = step + self.counted_from, self.warmup_steps
        if count < warmup:
            return self.start + (1 - self.start) * count / max(warmup - 1 + self.counted_from, 1)
        if self.decay == "constant":
            return 1.0
        done = min((count - warmup) / max(int(self.steps * self.stretch) - warmup, 1), 1.0)
        return _between(1.0, self.final, done, self.decay)

    def weight_decay(self, step: int, start: float, end: float) -> float:
        """Weight decay at a 0-based step, from ``start`` to ``end`` by half a cosine over the whole run."""
        done = (step + self.counted_from) / max(int(self.steps * self.stretch), 1)
        return _between(start, end, min(done, 1.0), "cosine")


def _between(start: float, end: float, done: float, decay: str) -> float:
    return end + (start - end) * (1 - done if decay == "linear" else 0.5 * (1 + math.cos(math.pi * done)))
