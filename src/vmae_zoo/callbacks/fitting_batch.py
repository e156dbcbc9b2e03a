"""Which batch would fit, found out when one did not: smaller parts of that very batch are tried for real."""

import traceback
from collections.abc import Callable
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from vmae_zoo.callbacks.throughput import clips_of

MARGIN = 0.95  # of the memory left: an allocator cannot use all of it


class FittingBatch(Callback):
    """After a lack of memory in a training step, sets ``fits``: clips a process (as ``data.batch_size`` counts them).

    Halves of the batch go through a step until one fits. On a GPU the memory that it and half of it took then says, by
    the straight line through both, how many clips fill what there is; elsewhere nobody tells what there is, and the one
    that went through is the answer. With several processes none is tried: they would have to fail alike.
    """

    def __init__(self) -> None:
        self.fits: int | None = None
        self._batch: Any = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember what may not fit."""
        self._batch = batch

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """It fitted."""
        self._batch = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Try less, where that may help."""
        batch, self._batch = self._batch, None
        size = getattr(trainer.datamodule, "batch_size", None)  # type: ignore[attr-defined]
        steps: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        if steps.processed >= steps.started:
            return  # it was another callback that lacked memory, after the step
        if not (lacks_memory(exception) and isinstance(batch, dict) and size and trainer.world_size == 1):
            return
        rank_zero_info("out of memory: smaller batches are tried")
        try:
            _let_go(exception, pl_module)
            held = torch.empty(_moments_to_come(trainer), dtype=torch.uint8, device=trainer.strategy.root_device)
            self.fits = fitting(size, lambda clips: _peak(trainer, pl_module, batch, clips, size), _free(trainer))
            del held
        except Exception as error:  # that fault is not the one to be told
            if not lacks_memory(error):
                rank_zero_info(f"that did not work: {error}")


def fitting(size: int, peak_of: Callable[[int], int], free: int | None) -> int:
    """The most clips that fit, of fewer than did not; 0 where not even one does.

    Args:
        size: that did not fit.
        peak_of: bytes that a step with so many clips takes; raises where memory lacks.
        free: bytes there are; None where that is not known.
    """
    clips = size // 2
    while clips:
        try:
            peak = peak_of(clips)
        except Exception as error:
            if not lacks_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)
            clips //= 2
            continue
        if free is None or clips == 1:
            return clips
        slope = max(peak - peak_of(clips // 2), 1) / (clips - clips // 2)
        more = int((MARGIN * free - peak) / slope)
        return min(max(clips + more, clips), size - 1)
    return 0


def lacks_memory(error: BaseException) -> bool:
    """Whether a device or the host ran out of memory."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def _peak(trainer: Trainer, module: LightningModule, batch: dict[str, Any], clips: int, size: int) -> int:
    """Bytes that forward and backward pass of so many rows take at most; 0 where that is not counted."""
    whole = clips_of(batch)
    few = whole // size * clips  # a row may be several clips
    part = {k: v[:few] if isinstance(v, Tensor) and len(v) == whole else v for k, v in batch.items()}
    before = _count(trainer, reset=True)
    try:
        with trainer.precision_plugin.train_step_context():
            loss: Any = module.training_step(part, 0)
        loss.backward()
        return _count(trainer) - before
    finally:
        module.zero_grad(set_to_none=True)


def _count(trainer: Trainer, reset: bool = False) -> int:
    device = trainer.strategy.root_device
    if device.type != "cuda":
        return 0
    if reset:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.max_memory_allocated(device)


def _free(trainer: Trainer) -> int | None:
    """Bytes that this process may still take of a GPU."""
    device = trainer.strategy.root_device
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _moments_to_come(trainer: Trainer) -> int:
    """Bytes that the optimisers take at their first step and do not hold yet: two numbers a weight, as Adam does."""
    to_come = 0
    for optimizer in trainer.optimizers:
        for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
            held = sum(value.nbytes for value in optimizer.state.get(weight, {}).values() if isinstance(value, Tensor))
            to_come += max(2 * weight.nbytes - held, 0)
    return to_come


def _let_go(error: BaseException, module: LightningModule) -> None:
    """Give back what the step that failed still holds, and log nothing of those that are tried."""
    traceback.clear_frames(error.__traceback__)
    module.zero_grad(set_to_none=True)
    module.log = module.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
