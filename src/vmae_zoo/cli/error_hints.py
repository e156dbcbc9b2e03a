"""Hints for errors of PyTorch and Lightning that a user can fix."""

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vmae_zoo.cli.errors import one_line
from vmae_zoo.cli.resumed_settings import Change
from vmae_zoo.compose import settings_of
from vmae_zoo.run_record import RECIPE, run_of

NO_SHARED_MEMORY = ("unable to write to file </torch_", "unable to allocate shared memory")
LOST_PROCESS = ("Connection closed by peer", "Connection reset by peer", "ProcessGroup", "NCCL", "gloo")


def hint_for(
    error: BaseException, settings: Mapping[str, Any], checkpoint: Path | None, changed: Sequence[Change] = ()
) -> str | None:
    """What to do about an error of a training command with these settings; None if a user cannot fix it."""
    text = str(error)
    if is_oom(error):
        return memory_hint(settings, "the GPU" if isinstance(error, torch.OutOfMemoryError) else "memory")
    if checkpoint and ("loading state_dict" in text or "loaded state dict" in text):
        differ = ", ".join(str(change) for change in changed if change.name.startswith(("model.", "data.")))
        run = run_of(checkpoint)
        recipe = f": it was trained with -c {run / RECIPE}" if run else ""
        return f"{checkpoint} does not fit this model ({differ or text.splitlines()[-1].strip()}){recipe}"
    if isinstance(error, (EOFError, ConnectionError)) and _raised_in_loader(error):
        return worker_hint("its connection was closed")  # a worker that died while it sent a batch
    if any(words in text for words in ("killed by signal", "exited unexpectedly", *NO_SHARED_MEMORY)):
        return worker_hint(text)
    if settings["trainer"].get("devices") != 1 and any(word in text for word in LOST_PROCESS):
        return (
            f"another process of this run ended or cannot be reached ({one_line(error)[:160]}): its own message is "
            "above, or it was killed; resume with --ckpt_path last"
        )
    return None


def _raised_in_loader(error: BaseException) -> bool:
    return any(Path(frame.filename).name == "dataloader.py" for frame in traceback.extract_tb(error.__traceback__))


def worker_hint(text: str) -> str:
    """What to do about a data worker that died."""
    if any(words in text for words in ("Bus error", *NO_SHARED_MEMORY)):
        return (
            "a data worker found no room in shared memory, /dev/shm: start the container with --shm-size 8g (or "
            "--ipc=host), or decode in the main process by --data.workers 0; resume with --ckpt_path last"
        )
    return (
        f"a data worker was killed ({text.splitlines()[0].strip().rstrip('.')}); SIGKILL often comes from a "
        "system that ran out of memory: lower --data.workers or --data.prefetch, and resume with --ckpt_path last"
    )


def is_oom(error: BaseException) -> bool:
    """Whether a device or the host ran out of memory."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def memory_hint(settings: Mapping[str, Any], place: str) -> str:
    """What was too large and what to try: half the batch with the same steps, and recomputed activations."""
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
