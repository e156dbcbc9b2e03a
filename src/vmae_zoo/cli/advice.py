"""Faults of torch and Lightning that a user can mend, as a sentence that says how."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from vmae_zoo.cli.runs import RECIPE, run_of


def advice_on(error: BaseException, data: Mapping[str, Any], checkpoint: Path | None) -> str | None:
    """What to do about an error that ended a trainer verb; None for one that is no user's to mend.

    Args:
        error: what was raised.
        data: the data module's settings.
        checkpoint: what was loaded.
    """
    if lacks_memory(error):
        return memory_advice(data, "the GPU" if isinstance(error, torch.OutOfMemoryError) else "memory")
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


def lacks_memory(error: BaseException) -> bool:
    """Whether a device or the host ran out of memory."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def memory_advice(data: Mapping[str, Any], place: str) -> str:
    """What was too large and what to try; half the clips need half the memory of activations."""
    half = data["batch_size"] // 2
    if not half:
        return f"data.batch_size = 1 does not fit {place}: try --model.gradient_checkpointing true, or a smaller model"
    same = "" if data.get("global_batch") else " --trainer.accumulate_grad_batches 2"
    return (
        f"data.batch_size = {data['batch_size']} clips a process do not fit {place}: try --data.batch_size {half}{same}"
        " (the same steps), or --model.gradient_checkpointing true"
    )
