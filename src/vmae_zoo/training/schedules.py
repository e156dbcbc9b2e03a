"""Learning-rate schedules per optimizer step: linear warm-up and half a cosine, or milestones."""

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
