"""Checkpoint files that are whole at any moment, and a full disk that ends no run.

Lightning writes through the temporary folder and moves the file over, which is not atomic across file systems, and a
save that fails ends the run.
"""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils._pytree import tree_leaves

from vmae_zoo.lightning_internals import wrap_saving


class NotSavedError(OSError):
    """A file system did not take a checkpoint."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then renames it.

    A reader finds the old file or the new one, never a part, also after a power cut.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Save to ``path``; an address such as ``s3://...`` is left to Lightning.

        Raises:
            NotSavedError: the disk is full or gone; what was there before is still there.
        """
        if "://" in str(path):
            return super().save_checkpoint(checkpoint, path, storage_options)
        target = Path(path)
        partial = target.with_name(f"{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
            _sync(target.parent)
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__  # torch hides what its file said
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            if not isinstance(cause, OSError):
                raise
            raise NotSavedError(
                f"{target} could not be written: {_describe_error(cause, target.parent, checkpoint)}"
            ) from error


def try_save(trainer: Trainer, save: Callable[[], None]) -> str:
    """Why saving did not work, the same in every process; empty where it did."""
    why = ""
    try:
        save()
    except NotSavedError as error:
        why = str(error)
        trainer.strategy.barrier("Trainer.save_checkpoint")  # where the other processes wait
    return trainer.strategy.broadcast(why)


def tolerate_save_failure(checkpoint: ModelCheckpoint) -> None:
    """Keep the files of ``checkpoint`` when a new one cannot be written; the next one worth keeping is tried again."""

    def save_on_all(save: Callable[..., None]) -> Callable[..., None]:
        def save_or_raise(trainer: Trainer, filepath: str) -> None:
            if why := try_save(trainer, lambda: save(trainer, filepath)):
                raise NotSavedError(why)

        return save_or_raise

    wrap_saving(checkpoint, save_on_all, lambda choose: _undo_on_failure(checkpoint, choose))


def _undo_on_failure(checkpoint: ModelCheckpoint, choose: Callable[..., None]) -> Callable[..., None]:
    """``choose``, which notes the best before it saves and removes what was before it after."""

    def choose_or_leave(trainer: Trainer, candidates: dict[str, Any]) -> None:
        before = {name: copy(value) for name, value in vars(checkpoint).items()}
        try:
            choose(trainer, candidates)
        except NotSavedError as error:
            vars(checkpoint).update(before)
            rank_zero_warn(f"{error}; {checkpoint.best_model_path or 'nothing'} stays, and training goes on")

    return choose_or_leave


def _sync(folder: Path) -> None:
    """Make a rename last through a power cut; Windows cannot and need not."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _describe_error(error: OSError, folder: Path, checkpoint: dict[str, Any]) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error.strerror or str(error)
    size = sum(leaf.nbytes for leaf in tree_leaves(checkpoint) if isinstance(leaf, torch.Tensor))
    free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    return f"{error.strerror} (it needs {size / 2**20:,.1f} MiB, {folder} has {free / 2**20:,.1f} MiB free)"
