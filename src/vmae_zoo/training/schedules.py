"""The learning rate of each optimiser step: linear warm-up from zero, then a half cosine; or in steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vmae_zoo.data.interfaces import data_of


@dataclass(frozen=True)
class RunLength:
    """How long a run is and how many clips a step sees.

    Args:
        steps: optimiser steps of the whole run.
        warmup_steps: the first of them, in which the rate rises.
        global_batch: clips per optimiser step over all processes, before repeats; None where it is not known.
    """

    steps: int
    warmup_steps: int
    global_batch: int | None


def run_length(trainer: Any, warmup_epochs: float, warmup_steps: int | None = None) -> RunLength:
    """The length of the run that ``trainer`` is about to start.

    Its length is ``max_steps``, or epochs x (rows // global batch) of the `vmae_zoo.data.ClipDataModule`; Lightning's
    own estimate is not used: asking for it starts the data loader before a resumed run knows its place.

    Raises:
        ValueError: neither is known.
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
            "the learning-rate schedule needs the run's length: give trainer.max_steps, or trainer.max_epochs and a "
            "data module that knows steps_per_epoch, such as ClipDataModule"
        )
    if warmup_steps is None:
        if warmup_epochs and not per_epoch:
            raise ValueError(
                "warmup_epochs needs a data module that knows steps_per_epoch, such as ClipDataModule: "
                "give warmup_steps instead"
            )
        warmup_steps = round(warmup_epochs * (per_epoch or 0))
    return RunLength(steps, warmup_steps, data.global_batch)


def warmup_cosine(step: int, steps: int, warmup_steps: int, final: float) -> float:
    """Share of the full rate at a step, as the official programs list it per iteration.

    Args:
        step: 0-based optimiser step.
        steps: of the whole run.
        warmup_steps: linspace(0, 1, warmup_steps) comes first: the first step has rate 0.
        final: the share the cosine ends at.
    """
    if step < warmup_steps:
        return step / max(warmup_steps - 1, 1)
    done = min((step - warmup_steps) / max(steps - warmup_steps, 1), 1.0)
    return final + 0.5 * (1 - final) * (1 + math.cos(math.pi * done))


def multistep(step: int, milestones: Sequence[float]) -> float:
    """Share of the full rate at a 0-based step: a tenth of what it was from each milestone on."""
    return 0.1 ** sum(step >= milestone for milestone in milestones)
