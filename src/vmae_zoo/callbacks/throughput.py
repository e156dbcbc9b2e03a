"""Throughput of training, and the fraction of time in which the device waits for data.

Lightning's `ThroughputMonitor` synchronizes with the device at each step; here the device is read only every
``log_every_n_steps``. Times are CUDA events, on the clock of the device: a host that runs ahead and waits for clips
while the device computes does not count as waiting.
"""

import time
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.optim import Optimizer

from vmae_zoo.callbacks.line_progress import total_steps
from vmae_zoo.data.interfaces import data_of
from vmae_zoo.setting_checks import check_least
from vmae_zoo.training.flops import flops_per_clip, peak_flops

PATIENCE = 3  # intervals above the limit before the hint


class Throughput(Callback):
    """Logs clips/s, step time, data-wait fraction, time left, learning rate, number of clips, MFU and peak memory.

    "throughput/data_wait" is the fraction of time in which the device was idle until the next batch was loaded and
    copied to it. Validation and the writing of checkpoints are not part of it, but count in clips/s and step time. MFU
    is the FLOP/s of the model over the peak of the GPU in bf16, if that is known.

    Args:
        warmup_steps: first steps after the start or resumption that are not measured: compilation, start of workers.
        advise_above: data-wait fraction in [0, 1] above which a hint is printed once.
    """

    def __init__(self, warmup_steps: int = 5, advise_above: float = 0.2):
        check_least("throughput.", 1, warmup_steps=warmup_steps)
        self.warmup_steps = warmup_steps
        self.advise_above = advise_above
        self.clips = 0
        self._warm_at = 0
        self._read_at = 0
        self._interval_start: Any = None
        self._interval_clips = 0
        self._batch_end: Any = None
        self._waits: list[tuple[Any, Any]] = []
        self._above = 0  # intervals above the limit, in a row
        self._advised = False
        self._rate: float | None = None
        self._flops: float | None = None
        self._peak: float | None = None

    def state_dict(self) -> dict[str, int]:
        """Number of clips that the run has trained on, including repeats."""
        return {"clips": self.clips}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the number."""
        self.clips = state_dict["clips"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the measurement."""
        self._warm_at = trainer.global_step + self.warmup_steps
        self._interval_start, self._batch_end, self._above = None, None, 0
        self._waits.clear()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The time since the end of the last batch was spent waiting for this one."""
        if self._batch_end is not None and self._interval_start is not None:
            self._waits.append((self._batch_end, timestamp(trainer)))
        self._batch_end = None

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Store the learning rate of this step; the schedule advances before the step ends."""
        self._rate = max(group["lr"] for group in optimizer.param_groups)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count clips; log if an interval ends."""
        clips = clips_of(batch) * trainer.world_size
        self.clips += clips
        self._interval_clips += clips
        self._batch_end = timestamp(trainer)
        step = trainer.global_step
        if step < self._warm_at:
            return
        if self._interval_start is None:
            device = trainer.strategy.root_device
            self._peak = peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
            self._flops = flops_per_clip(pl_module, batch) if self._peak else None
            self._start_interval(trainer, step)
        elif step > self._read_at and step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._log(trainer, pl_module)
            self._start_interval(trainer, step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not count the following time as waiting."""
        self._batch_end = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Do not count the following time as waiting."""
        self._batch_end = None

    def _start_interval(self, trainer: Trainer, step: int) -> None:
        self._read_at, self._interval_clips = step, 0
        self._interval_start = self._batch_end = timestamp(trainer)
        self._waits.clear()

    def _log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seconds = max(elapsed(self._interval_start, self._batch_end), 1e-9)
        steps = trainer.global_step - self._read_at
        wait = sum(elapsed(start, end) for start, end in self._waits) / seconds
        speed = self._interval_clips / seconds
        numbers = {
            "throughput/clips_per_s": speed,
            "throughput/step_ms": 1000 * seconds / steps,
            "throughput/data_wait": wait,
            "throughput/clips": float(self.clips),
        }
        total = total_steps(trainer)
        if total is not None:
            numbers["throughput/hours_left"] = (total - trainer.global_step) * seconds / steps / 3600
        if self._rate is not None:
            numbers["lr"] = self._rate
        device = trainer.strategy.root_device
        if device.type == "cuda":
            numbers["throughput/peak_memory_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
            if self._flops and self._peak:
                numbers["throughput/mfu"] = self._flops * speed / (self._peak * trainer.world_size)
        pl_module.log_dict(numbers)
        pl_module.log_dict({"clips/s": speed, "data": wait}, logger=False)  # short names, for the bar
        self._advise(trainer, wait)

    def _advise(self, trainer: Trainer, wait: float) -> None:
        self._above = self._above + 1 if wait > self.advise_above else 0
        if self._above == PATIENCE and not self._advised:
            self._advised = True
            workers = data_of(trainer).workers
            rank_zero_info(
                f"the device waits for data {100 * wait:.0f} % of the time: raise data.workers"
                f"{'' if workers is None else f' (now {workers})'}, or reencode the videos (`vmae-zoo reencode`)"
            )


def timestamp(trainer: Trainer) -> Any:
    """The time on the device, as a CUDA event; on a CPU, seconds of the host."""
    if trainer.strategy.root_device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def elapsed(start: Any, end: Any) -> float:
    """Seconds between two timestamps; waits until the device has reached both."""
    if isinstance(start, float):
        return end - start
    end.synchronize()
    return start.elapsed_time(end) / 1000


def clips_of(batch: Any) -> int:
    """Number of clips in a batch, including repeats; modules and data of any kind may be trained."""
    values = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, (list, tuple)) else (batch,)
    return next((len(value) for value in values if isinstance(value, Tensor) and value.ndim), 0)
