"""Checkpoints that survive a kill at any moment and a full disk, and a last one however short the run.

Lightning's own `ModelCheckpoint` with ``every_n_train_steps`` leaves ``last.ckpt`` at the last multiple, not at the
end. It can be added beside `LastCheckpoint`, for the best by some metric: a full disk then does not end the run either.
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
from vmae_zoo.lightning_internals import skip_sigterm_broadcast
from vmae_zoo.training.checkpoint_io import NotSavedError, tolerate_save_failure, try_save
from vmae_zoo.training.signals import AsyncMaxReduce, Signals, raise_for_signal

RETRY_MINUTES = 5.0  # after a save that failed


class StepFilter(ABC):
    """A callback that skips optimizer steps."""

    @abstractmethod
    def last_step_skipped(self, trainer: Trainer) -> bool:
        """Whether the last step was skipped, so that no run should be resumed from here."""


class LastCheckpoint(Checkpoint, RunControl):
    """Keeps ``checkpoints/last.ckpt`` of the run folder up to date.

    It is written every so many steps and every so many minutes, at the end of training, and when the run is told to end
    (SIGTERM, SIGUSR1, SIGHUP, Ctrl-C): between two steps, so that the run goes on exactly there. Where it cannot be
    written, the one before is kept, the run says so and tries again; only a run whose end is not saved fails.

    In a series of steps that are skipped for numbers that are not finite nothing is written, and a run that is told to
    end makes steps until the series is over: ``last.ckpt`` is what `SkipNonFiniteSteps` goes back to, and has to be
    from before the series. Only training that comes to its end inside one is saved there.

    Args:
        every_n_steps: optimiser steps from one save to the next.
        every_minutes: most minutes from one save to the next, for slow steps; None counts steps only.
        keep_every_n_epochs: also keep ``epoch-N.ckpt`` every so many epochs; None keeps only the last.
    """

    def __init__(
        self, every_n_steps: int = 500, every_minutes: float | None = 30, keep_every_n_epochs: int | None = None
    ):
        if every_n_steps < 1 or (keep_every_n_epochs is not None and keep_every_n_epochs < 1):
            raise ValueError("checkpoint.every_n_steps and checkpoint.keep_every_n_epochs count from 1")
        if every_minutes is not None and every_minutes <= 0:
            raise ValueError(f"checkpoint.every_minutes = {every_minutes}: give minutes, or null")
        self.every_n_steps = every_n_steps
        self.every_minutes = every_minutes
        self.keep_every_n_epochs = keep_every_n_epochs
        self.failed = ""  # why the last attempt did not work
        self._signals = Signals()
        self._agree = AsyncMaxReduce(1)
        self._saved_at = self._seen = 0  # nothing to save before the first step
        self._due = False
        self._tried = time.monotonic()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """No checkpoint of a user's own ends the run on a full disk either."""
        for other in trainer.checkpoint_callbacks if stage == "fit" else []:
            if isinstance(other, ModelCheckpoint):
                tolerate_save_failure(other)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to signals; a resumed run already has the step that it starts from on disk."""
        self._saved_at = self._seen = trainer.global_step
        self._tried = time.monotonic()
        self._agree = AsyncMaxReduce(trainer.world_size)
        self._signals.install()
        if trainer.received_sigterm:  # by Lightning, which listens from a little earlier on
            self._signals.number = signal.SIGTERM
        skip_sigterm_broadcast(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time, or when told to end."""
        stepped, self._seen = trainer.global_step != self._seen, trainer.global_step
        told, overdue = self._agree(self._signals.number, int(self._overdue()))
        self._due |= bool(overdue) or (stepped and trainer.global_step % self.every_n_steps == 0)
        if told:
            self._end(trainer, told)
        if self._due and stepped:
            self.save_last(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """A long validation is no reason not to end."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        told, overdue = self._agree(self._signals.number, int(self._overdue()))
        self._due |= bool(overdue)
        if told:
            self._end(trainer, told)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep a copy every ``keep_every_n_epochs``."""
        done = trainer.current_epoch + 1
        if self.keep_every_n_epochs and done % self.keep_every_n_epochs == 0 and not _trial(trainer):
            self._save(trainer, f"epoch-{done}.ckpt")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of training.

        Raises:
            NotSavedError: it could not be written.
        """
        self._agree.result()
        self.save_last(trainer, at_the_end=True)
        if self.failed and trainer.global_step != self._saved_at:
            there = f"last.ckpt holds step {self._saved_at}" if self._saved_at else "there is no earlier one"
            raise NotSavedError(
                f"the end of training is lost: {self.failed}; {there}: make room, then --ckpt_path last"
            )

    def save_last(self, trainer: Trainer, at_the_end: bool = False) -> None:
        """Write ``last.ckpt``, unless it holds this step already, or this is no step to come back to."""
        if _last_step_skipped(trainer) and not at_the_end:
            return
        self._due = False
        if trainer.global_step != self._saved_at and not _trial(trainer) and self._save(trainer, "last.ckpt"):
            self._saved_at = trainer.global_step

    def _save(self, trainer: Trainer, name: str) -> bool:
        """Whether it worked, the same in every process; a warning says why not."""
        before, self._tried = self.failed, time.monotonic()
        self.failed = try_save(trainer, lambda: trainer.save_checkpoint(self.folder(trainer) / name))
        if self.failed and not before:
            kept = f"last.ckpt of step {self._saved_at} stays" if self._saved_at else "there is no earlier one"
            rank_zero_warn(f"step {trainer.global_step} is not saved: {self.failed}; {kept}, and training goes on")
        return not self.failed

    def _overdue(self) -> bool:
        minutes = (time.monotonic() - self._tried) / 60
        limit = self.every_minutes
        return bool(self.failed and minutes > RETRY_MINUTES) or (limit is not None and minutes > limit)

    def save_now(self, trainer: Trainer) -> None:
        """Write ``last.ckpt`` between two steps, unless it holds this one already."""
        self.save_last(trainer)

    def stop_if_signaled(self, trainer: Trainer) -> None:
        """If a stop signal is pending, save and exit: for a run of one process, between two steps."""
        if self._signals.number:
            self.save_last(trainer)
            raise_for_signal(trainer, self._signals.number)

    def _end(self, trainer: Trainer, told: int) -> None:
        """Save and end here, or, in a series of skipped steps, after the next one: it will be asked again."""
        if not _last_step_skipped(trainer):
            self.save_last(trainer)
            raise_for_signal(trainer, told)

    @staticmethod
    def folder(trainer: Trainer) -> Path:
        """Where this trainer's checkpoints lie."""
        return Path(trainer.default_root_dir) / "checkpoints"


def _trial(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def _last_step_skipped(trainer: Trainer) -> bool:
    filters = (callback for callback in trainer.callbacks if isinstance(callback, StepFilter))  # type: ignore[attr-defined]
    return any(callback.last_step_skipped(trainer) for callback in filters)
