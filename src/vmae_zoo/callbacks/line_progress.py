"""Progress as printed lines, for log files, where a progress bar would fill them."""

import math
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from vmae_zoo.training.bar_metrics import read_metrics


class LineProgress(ProgressBar):
    """Prints step, epoch, the metrics of a progress bar, and the time left.

    Args:
        every_seconds: minimum seconds between two lines; in a long run a twentieth of the time so far, if that is more.
    """

    def __init__(self, every_seconds: float = 10.0):
        super().__init__()
        self.every_seconds = every_seconds
        self._enabled = True
        self._start = self._next = time.monotonic()
        self._first_step = 0

    def disable(self) -> None:
        """Print nothing; Lightning calls this in every process but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Print lines."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure time and steps from here."""
        self._start = self._next = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        steps = trainer.global_step - self._first_step
        if not self._enabled or steps < 1 or now < self._next:
            return
        elapsed = now - self._start
        self._next = now + max(self.every_seconds, elapsed / 20)
        total = total_steps(trainer)
        parts = [f"step {trainer.global_step}{f'/{total}' if total else ''}"]
        parts.append(f"epoch {trainer.current_epoch + 1}")
        parts += [f"{name} {_number(value)}" for name, value in self.get_metrics(trainer, pl_module).items()]
        if total:
            parts.append(f"{duration(elapsed / steps * (total - trainer.global_step))} left")
        print("  ".join(parts), flush=True)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Metrics for the progress bar, without "v_num", the version of the log folder that Lightning adds."""
        metrics = {**super().get_metrics(trainer, pl_module), **read_metrics(trainer)}
        return {name: value for name, value in metrics.items() if name != "v_num"}


def total_steps(trainer: Trainer) -> int | None:
    """Optimizer steps of the whole run; None if its length is not limited."""
    per_epoch = trainer.num_training_batches / trainer.accumulate_grad_batches
    epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else math.inf
    by_epochs = math.ceil(per_epoch) * epochs if math.isfinite(per_epoch) else math.inf
    total = min(by_epochs, trainer.max_steps if trainer.max_steps > 0 else math.inf)
    return int(total) if math.isfinite(total) else None


def duration(seconds: float) -> str:
    """``3 h 05 min``, ``4 min 10 s`` or ``12 s``."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _number(value: Any) -> str:
    return f"{float(value):.4g}" if isinstance(value, (int, float)) else str(value)
