"""How fast training goes, and what it waits for.

Lightning's `ThroughputMonitor` synchronises with the device each step; here nothing is read from the device but every
``log_every_n_steps``. Where time passes is marked on the device's own clock (CUDA events), so that a host which runs
ahead and waits for clips while the device computes is not mistaken for a device which waits.
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
from vmae_zoo.training.flops import flops_per_clip, peak_flops

PATIENCE = 3  # readings above the limit before advice is given


class Throughput(Callback):
    """Logs clips/s, step time, data-wait share, time left, learning rate, clips seen, MFU and peak memory.

    "throughput/data_wait" is the share of time in which the device had no work because the next batch was not there,
    its way to the device included. Time of validation and of writing checkpoints is not waiting for data, but counts in
    clips/s and step time. MFU is arithmetic done per second over the GPU's peak in bf16; GPUs without a known peak have
    none.

    Args:
        warmup_steps: first steps of a session that are not measured: compilation, first batches of the workers.
        advise_above: data-wait share from which the run says once what would help.
    """

    def __init__(self, warmup_steps: int = 5, advise_above: float = 0.2):
        if warmup_steps < 1:
            raise ValueError(f"throughput.warmup_steps = {warmup_steps}: it counts from 1")
        self.warmup_steps = warmup_steps
        self.advise_above = advise_above
        self.clips = 0
        self._warm_at = 0
        self._read_at = 0
        self._since: Any = None
        self._clips_since = 0
        self._ended: Any = None
        self._waits: list[tuple[Any, Any]] = []
        self._high = 0
        self._rate: float | None = None
        self._flops: float | None = None

    def state_dict(self) -> dict[str, int]:
        """Clips that the run has trained on, repeats counted."""
        return {"clips": self.clips}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on counting."""
        self.clips = state_dict["clips"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks anew."""
        self._warm_at = trainer.global_step + self.warmup_steps
        self._since, self._ended, self._high = None, None, 0
        self._waits.clear()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The batch is there: what passed since the last one was waiting for it."""
        if self._ended is not None and self._since is not None:
            self._waits.append((self._ended, now(trainer)))
        self._ended = None

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Note the rate of this step: the schedule moves on before the step ends."""
        self._rate = max(group["lr"] for group in optimizer.param_groups)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count; read the clocks when it is time to log."""
        clips = clips_of(batch) * trainer.world_size
        self.clips += clips
        self._clips_since += clips
        self._ended = now(trainer)
        step = trainer.global_step
        if step < self._warm_at:
            return
        if self._since is None:
            self._flops = self._arithmetic(trainer, pl_module, batch)
            self._start_interval(trainer, step)
        elif step > self._read_at and step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._log(trainer, pl_module)
            self._start_interval(trainer, step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What follows is not waiting for a training batch."""
        self._ended = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """What follows is not waiting for a training batch."""
        self._ended = None

    def _start_interval(self, trainer: Trainer, step: int) -> None:
        self._read_at, self._clips_since = step, 0
        self._since = self._ended = now(trainer)
        self._waits.clear()

    def _log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seconds = max(between(self._since, self._ended), 1e-9)
        steps = trainer.global_step - self._read_at
        wait = sum(between(start, end) for start, end in self._waits) / seconds
        speed = self._clips_since / seconds
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
            peak = peak_flops(torch.cuda.get_device_name(device))
            if self._flops and peak:
                numbers["throughput/mfu"] = self._flops * speed / (peak * trainer.world_size)
        pl_module.log_dict(numbers)
        pl_module.log_dict({"clips/s": speed, "data": wait}, prog_bar=True, logger=False)
        self._advise(trainer, wait)

    def _advise(self, trainer: Trainer, wait: float) -> None:
        self._high = self._high + 1 if wait > self.advise_above else min(self._high, 0)
        if self._high == PATIENCE:
            self._high = -(10**9)  # once is enough
            workers = data_of(trainer).workers
            rank_zero_info(
                f"the device waits {100 * wait:.0f} % of the time for data: more workers "
                f"({'' if workers is None else f'now {workers}; '}--data.workers N), or `vmae-zoo reencode`"
            )

    def _arithmetic(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> float | None:
        device = trainer.strategy.root_device
        known = device.type == "cuda" and peak_flops(torch.cuda.get_device_name(device))
        return flops_per_clip(pl_module, batch) if known else None


def now(trainer: Trainer) -> Any:
    """A mark on the device's clock; of a CPU, the host's."""
    if trainer.strategy.root_device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def between(start: Any, end: Any) -> float:
    """Seconds from one mark to a later one; waits until the device has passed both."""
    if isinstance(start, float):
        return end - start
    end.synchronize()
    return start.elapsed_time(end) / 1000


def clips_of(batch: Any) -> int:
    """Clips in a batch, repeats counted."""
    values = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, (list, tuple)) else (batch,)
    return next((len(value) for value in values if isinstance(value, Tensor) and value.ndim), 0)
