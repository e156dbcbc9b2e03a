"""Checkpoints that survive a kill at any moment, and a last one however short the run.

Lightning's own `ModelCheckpoint` writes through the temporary folder and moves the file over (not atomic across file
systems), and with ``every_n_train_steps`` leaves ``last.ckpt`` at the last multiple instead of at the end. Both are few
lines here.
"""

import os
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then renames it.

    A reader finds the old file or the new one, never a part.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Save to ``path``; an address such as ``s3://...`` is left to Lightning."""
        if "://" in str(path):
            return super().save_checkpoint(checkpoint, path, storage_options)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)


class LastCheckpoint(Checkpoint):
    """Keeps ``checkpoints/last.ckpt`` of the run folder up to date.

    It is written every so many steps, at the end of training, and when the run is told to end (SIGTERM): between two
    steps, so that the run goes on exactly there.

    Args:
        every_n_steps: optimiser steps from one save to the next.
        keep_every_n_epochs: also keep ``epoch-N.ckpt`` every so many epochs; None keeps only the last.
    """

    def __init__(self, every_n_steps: int = 500, keep_every_n_epochs: int | None = None):
        if every_n_steps < 1 or (keep_every_n_epochs is not None and keep_every_n_epochs < 1):
            raise ValueError("checkpoint.every_n_steps and checkpoint.keep_every_n_epochs count from 1")
        self.every_n_steps = every_n_steps
        self.keep_every_n_epochs = keep_every_n_epochs
        self._saved_at = 0  # nothing to save before the first step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run already has the step that it starts from on disk."""
        self._saved_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save every ``every_n_steps``."""
        if trainer.global_step % self.every_n_steps == 0:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep a copy every ``keep_every_n_epochs``."""
        done = trainer.current_epoch + 1
        if self.keep_every_n_epochs and done % self.keep_every_n_epochs == 0 and not _trial(trainer):
            trainer.save_checkpoint(self.folder(trainer) / f"epoch-{done}.ckpt")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of training."""
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save when the run was told to end; Lightning raises that between two steps, in every process."""
        if isinstance(exception, SIGTERMException):
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step != self._saved_at and not _trial(trainer):
            self._saved_at = trainer.global_step
            trainer.save_checkpoint(self.folder(trainer) / "last.ckpt")

    @staticmethod
    def folder(trainer: Trainer) -> Path:
        """Where this trainer's checkpoints lie."""
        return Path(trainer.default_root_dir) / "checkpoints"


def _trial(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]
