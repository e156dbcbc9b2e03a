"""The last checkpoint of a run: written on a schedule, on a stop signal and at the end of training.

Lightning's `ModelCheckpoint` with ``every_n_train_steps`` leaves ``last.ckpt`` at the last multiple, not at the end. It
can be added beside `LastCheckpoint`, for example for the best by a metric, and then tolerates a full disk too.
"""

import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn

from vmae_zoo.data.interfaces import RunControl
from vmae_zoo.lightning_internals import is_trial_run, skip_sigterm_broadcast
from vmae_zoo.setting_checks import check_least
from vmae_zoo.training.bar_metrics import show_in_bar
from vmae_zoo.training.checkpoint_io import NotSavedError, tolerate_save_failure, try_save
from vmae_zoo.training.signals import AsyncMaxReduce, Signals, raise_for_signal

RETRY_MINUTES = 5.0  # after a failed save


class StepFilter(ABC):
    """A callback that skips optimizer steps."""

    @abstractmethod
    def last_step_skipped(self, trainer: Trainer) -> bool:
        """Whether the last step was skipped; no checkpoint is written then."""


class LastCheckpoint(Checkpoint, RunControl):
    """Writes ``checkpoints/last.ckpt`` of the run folder.

    It is written every ``every_n_steps`` and ``every_minutes``, at the end of training, and on SIGTERM, SIGUSR1, SIGHUP
    or Ctrl-C, which end the run between two steps. If a file cannot be written, the previous one is kept, a warning
    says so, and the next save is tried as scheduled; only a run whose final save fails ends with an error.

    While a `StepFilter` skips steps, nothing is written and a stop signal has to wait: `SkipNonFiniteSteps` returns to
    ``last.ckpt``, which therefore has to precede the skipped steps. The end of training is always saved.

    Args:
        every_n_steps: optimizer steps between two saves.
        every_minutes: maximum minutes between two saves, for slow steps; None for no limit.
        keep_every_n_epochs: also keep ``epoch-N.ckpt`` every so many epochs; None keeps only the last.
    """

    def __init__(
        self, every_n_steps: int = 500, every_minutes: float | None = 30, keep_every_n_epochs: int | None = None
    ):
        check_least("checkpoint.", 1, every_n_steps=every_n_steps, keep_every_n_epochs=keep_every_n_epochs)
        if every_minutes is not None and every_minutes <= 0:
            raise ValueError(f"checkpoint.every_minutes = {every_minutes}: must be > 0, or null")
        self.every_n_steps = every_n_steps
        self.every_minutes = every_minutes
        self.keep_every_n_epochs = keep_every_n_epochs
        self.failed = ""  # message of the last save, if it failed
        self._signals = Signals()
        self._reduce_max = AsyncMaxReduce(1)
        self._saved_step = self._seen_step = 0  # there is nothing to save before the first step
        self._stepping_from = -1  # step whose weights are being replaced by those of the next one
        self._due = False
        self._tried_at = time.monotonic()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make other checkpoint callbacks tolerate a full disk."""
        for other in trainer.checkpoint_callbacks if stage == "fit" else []:
            if isinstance(other, ModelCheckpoint):
                tolerate_save_failure(other)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install signal handlers; a resumed run already has a checkpoint of its first step."""
        self._saved_step = self._seen_step = trainer.global_step
        self._tried_at = time.monotonic()
        self._reduce_max = AsyncMaxReduce(trainer.world_size)
        self._signals.install()
        if trainer.received_sigterm:  # by Lightning, whose handlers are installed earlier
            self._signals.number = signal.SIGTERM
        skip_sigterm_broadcast(trainer)
        show_in_bar(trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """From here until the step is counted, nothing is saved."""
        self._stepping_from = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save if a save is due; save and exit after a signal."""
        stepped, self._seen_step = trainer.global_step != self._seen_step, trainer.global_step
        self._check_signal(trainer, scheduled=stepped and trainer.global_step % self.every_n_steps == 0)
        if self._due and stepped:
            self.save_now(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save and exit after a signal during a validation too."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._check_signal(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``epoch-N.ckpt`` every ``keep_every_n_epochs``."""
        ended = trainer.current_epoch + 1
        if self.keep_every_n_epochs and ended % self.keep_every_n_epochs == 0 and not is_trial_run(trainer):
            self._save(trainer, f"epoch-{ended}.ckpt")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of training; `NotSavedError` if the file cannot be written."""
        self._reduce_max.result()
        self._save_last(trainer)
        if self.failed and trainer.global_step != self._saved_step:
            raise NotSavedError(
                f"the end of training could not be saved: {self.failed}; {self._kept()}: make room, then resume with "
                "--ckpt_path last"
            )

    def save_now(self, trainer: Trainer) -> None:
        """Write ``last.ckpt``, unless it holds this step already, the step was skipped, or one is being made."""
        if trainer.global_step != self._stepping_from and not _last_step_skipped(trainer):
            self._save_last(trainer)

    def stop_if_signaled(self, trainer: Trainer) -> None:
        """If a stop signal is pending, save and exit: for a run of one process, between two steps."""
        if self._signals.number:
            self.save_now(trainer)
            raise_for_signal(trainer, self._signals.number)

    def _check_signal(self, trainer: Trainer, scheduled: bool = False) -> None:
        """Reduce signals and overdue saves over the processes; exit at a signal unless the last step was skipped."""
        number, overdue = self._reduce_max(self._signals.number, int(self._overdue()))
        self._due |= bool(overdue) or scheduled
        if number and not _last_step_skipped(trainer):
            self._save_last(trainer)
            raise_for_signal(trainer, number)

    def _save_last(self, trainer: Trainer) -> None:
        self._due = False
        if trainer.global_step != self._saved_step and not is_trial_run(trainer) and self._save(trainer, "last.ckpt"):
            self._saved_step = trainer.global_step

    def _save(self, trainer: Trainer, name: str) -> bool:
        """Whether the file was written, the same in every process; the first failure is a warning."""
        before, self._tried_at = self.failed, time.monotonic()
        self.failed = try_save(trainer, lambda: trainer.save_checkpoint(self.folder(trainer) / name))
        if self.failed and not before:
            rank_zero_warn(
                f"step {trainer.global_step} was not saved: {self.failed}; {self._kept()}; training continues"
            )
        return not self.failed

    def _kept(self) -> str:
        return f"last.ckpt holds step {self._saved_step}" if self._saved_step else "there is no earlier checkpoint"

    def _overdue(self) -> bool:
        minutes = (time.monotonic() - self._tried_at) / 60
        limit = self.every_minutes
        return bool(self.failed and minutes > RETRY_MINUTES) or (limit is not None and minutes > limit)

    @staticmethod
    def folder(trainer: Trainer) -> Path:
        """The folder of this trainer's checkpoints."""
        return Path(trainer.default_root_dir) / "checkpoints"


def _last_step_skipped(trainer: Trainer) -> bool:
    filters = (callback for callback in trainer.callbacks if isinstance(callback, StepFilter))  # type: ignore[attr-defined]
    return any(callback.last_step_skipped(trainer) for callback in filters)
