"""Atomic writing of checkpoints, and training that continues on a full disk.

Lightning writes to the temporary folder and moves the file, which is not atomic across file systems, and ends the run
if a checkpoint cannot be saved.
"""

import errno
import shutil
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils._pytree import tree_leaves

from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.lightning_internals import wrap_saving


class NotSavedError(OSError):
    """A checkpoint could not be written."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint beside its target and renames it, see `vmae_zoo.atomic_write`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Save to ``path``; a remote URL such as ``s3://...`` is left to Lightning.

        Raises:
            NotSavedError: the file could not be written, for example because the disk is full; a previous file of this
                name is unchanged.
        """
        if "://" in str(path):
            return super().save_checkpoint(checkpoint, path, storage_options)
        target = Path(path)
        try:
            with atomic_write(target) as partial, partial.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__  # torch replaces the file's OSError
            if not isinstance(cause, OSError):
                raise
            reason = _describe_error(cause, target.parent, checkpoint)
            raise NotSavedError(f"{target} could not be written: {reason}") from error


def try_save(trainer: Trainer, save: Callable[[], None]) -> str:
    """Call ``save`` and return the message of its `NotSavedError`, the same in every process; empty on success."""
    message = ""
    try:
        save()
    except NotSavedError as error:
        message = str(error)
        trainer.strategy.barrier("Trainer.save_checkpoint")  # which the other processes entered after saving
    return trainer.strategy.broadcast(message)


def tolerate_save_failure(checkpoint: ModelCheckpoint) -> None:
    """Make ``checkpoint`` warn and keep its previous files if a new one cannot be written."""

    def raise_on_all(save: Callable[..., None]) -> Callable[..., None]:
        def save_or_raise(trainer: Trainer, filepath: str) -> None:
            if message := try_save(trainer, lambda: save(trainer, filepath)):
                raise NotSavedError(message)

        return save_or_raise

    wrap_saving(checkpoint, raise_on_all, lambda choose: _undo_on_failure(checkpoint, choose))


def _undo_on_failure(checkpoint: ModelCheckpoint, choose: Callable[..., None]) -> Callable[..., None]:
    """``choose`` updates the best score before it saves; restore the attributes if saving fails."""

    def choose_or_undo(trainer: Trainer, candidates: dict[str, Any]) -> None:
        before = {name: copy(value) for name, value in vars(checkpoint).items()}
        try:
            choose(trainer, candidates)
        except NotSavedError as error:
            vars(checkpoint).update(before)
            rank_zero_warn(f"{error}; the previous file is {checkpoint.best_model_path or None}; training continues")

    return choose_or_undo


def _describe_error(error: OSError, folder: Path, checkpoint: dict[str, Any]) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error.strerror or str(error)
    size = sum(leaf.nbytes for leaf in tree_leaves(checkpoint) if isinstance(leaf, torch.Tensor))
    free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    return f"{error.strerror} ({size / 2**20:,.1f} MiB needed, {free / 2**20:,.1f} MiB free in {folder})"
