"""Hints for errors of PyTorch and Lightning that a user can fix."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from vmae_zoo.cli.compose import settings_of
from vmae_zoo.cli.run_folders import RECIPE, run_of


def hint_for(error: BaseException, settings: Mapping[str, Any], checkpoint: Path | None) -> str | None:
    """What to do about an error that ended a training command; None if a user cannot fix it.

    Args:
        error: what was raised.
        settings: of the subcommand: those of "data", "model" and "trainer".
        checkpoint: what was loaded.
    """
    if is_oom(error):
        return memory_hint(settings, "the GPU" if isinstance(error, torch.OutOfMemoryError) else "memory")
    if checkpoint and isinstance(error, (UnpicklingError, KeyError)) and raised_while_reading(error):
        return (
            f"{checkpoint} is not a checkpoint of a run, or cannot be loaded safely: to start from a file of weights, "
            "use --model.init_from"
        )
    if checkpoint and "loading state_dict" in str(error):
        first = str(error).splitlines()[1].strip()
        run = run_of(checkpoint)
        recipe = f": it was trained with -c {run / RECIPE}" if run else ""
        return f"{checkpoint} does not fit this model ({first}){recipe}"
    return None


def is_oom(error: BaseException) -> bool:
    """Whether a device or the host ran out of memory."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def raised_while_reading(error: BaseException) -> bool:
    """Whether an error comes out of opening a checkpoint."""
    names = (frame.name for frame in traceback.extract_tb(error.__traceback__))
    return any(name in ("load_checkpoint", "_get_version") for name in names)


def memory_hint(settings: Mapping[str, Any], place: str) -> str:
    """What was too large and what to try: half the batch with the same steps, and recomputed activations.

    Args:
        settings: see `hint_for`.
        place: what ran out of memory, in words.
    """
    data, model = settings_of(settings.get("data")), settings_of(settings["model"])
    size = data.get("batch_size")
    cures = [] if model.get("gradient_checkpointing") else ["--model.gradient_checkpointing true"]
    if size and size > 1:
        half = max(clips for clips in range(1, size // 2 + 1) if size % clips == 0)
        accumulated = settings["trainer"]["accumulate_grad_batches"] * size // half
        same = "" if data.get("global_batch") else f" --trainer.accumulate_grad_batches {accumulated}"
        cures.insert(0, f"--data.batch_size {half}{same} (the same steps)")
    else:
        cures.append("a smaller model")
    return (
        f"out of memory: data.batch_size = {size} clips per process do not fit {place}: try {', or '.join(cures)}; "
        "Lightning's BatchSizeFinder callback finds the largest batch that fits"
    )
