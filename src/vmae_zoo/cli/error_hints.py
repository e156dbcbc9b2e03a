"""Faults of torch and Lightning that a user can mend, as a sentence that says how."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from vmae_zoo.callbacks.fitting_batch import lacks_memory
from vmae_zoo.cli.run_folders import RECIPE, run_of


def advice_on(
    error: BaseException,
    settings: Mapping[str, Any],
    checkpoint: Path | None,
    fits: int | None = None,
    processes: int = 1,
) -> str | None:
    """What to do about an error that ended a trainer verb; None for one that is no user's to mend.

    Args:
        error: what was raised.
        settings: of the verb, those of "data", "model" and "trainer".
        checkpoint: what was loaded.
        fits: clips a process that fit a training step, where that was tried (`FittingBatch`).
        processes: how many train.
    """
    if lacks_memory(error):
        place = "the GPU" if isinstance(error, torch.OutOfMemoryError) else "memory"
        return memory_advice(settings, place, fits, processes)
    if checkpoint and isinstance(error, (UnpicklingError, KeyError)) and raised_while_reading(error):
        return (
            f"{checkpoint} is no checkpoint of a run, or cannot be loaded safely: a file of weights alone is given by "
            "--model.init_from"
        )
    if checkpoint and "loading state_dict" in str(error):
        first = str(error).splitlines()[1].strip()
        run = run_of(checkpoint)
        recipe = f": -c {run / RECIPE} is the recipe it was trained by" if run else ""
        return f"{checkpoint} does not fit this model ({first}){recipe}"
    return None


def raised_while_reading(error: BaseException) -> bool:
    """Whether an error comes out of opening a checkpoint."""
    names = (frame.name for frame in traceback.extract_tb(error.__traceback__))
    return any(name in ("load_checkpoint", "_get_version") for name in names)


def memory_advice(settings: Mapping[str, Any], place: str, fits: int | None, processes: int) -> str:
    """What was too large and what to try: a batch that fits (half of it where that is not known) and makes whole steps.

    Args:
        settings: as of `advice_on`.
        place: where it did not fit, in words.
        fits: clips a process that do; 0: not even one; None: not known.
        processes: how many train.
    """
    data, model = settings["data"], settings["model"].get("init_args") or {}
    size, whole = data["batch_size"], data.get("global_batch")
    saving = [] if model.get("gradient_checkpointing") else ["--model.gradient_checkpointing true"]
    most = size // 2 if fits is None else fits
    if not most:
        nor = "" if size == 1 else ", nor does 1"
        return f"data.batch_size = {size} does not fit {place}{nor}: try {', or '.join([*saving, 'a smaller model'])}"
    share = whole // processes if whole else size * settings["trainer"]["accumulate_grad_batches"]
    best = max(clips for clips in range(1, most + 1) if share % clips == 0)
    smaller = f"--data.batch_size {best}{'' if whole else f' --trainer.accumulate_grad_batches {share // best}'}"
    known = "" if fits is None else f", about {fits} would"
    return (
        f"data.batch_size = {size} clips a process do not fit {place}{known}: try "
        f"{', or '.join([f'{smaller} (the same steps)', *saving])}"
    )
