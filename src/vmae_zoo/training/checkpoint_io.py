"""Checkpoints that are written atomically and verified when read, and training that continues on a full disk.

Lightning writes to the temporary folder and moves the file, which is not atomic across file systems, and ends the run
if a checkpoint cannot be saved. The checksums are those of the zip archive that ``torch.save`` writes: one for each
tensor, which ``torch.load`` does not verify.
"""

import errno
import io
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from pickle import UnpicklingError
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


def damage_of(file: Path) -> str:
    """What is damaged in a file of ``torch.save``; empty if all its checksums are right."""
    if not file.stat().st_size:
        return "it is empty"
    with file.open("rb") as opened:
        try:
            with zipfile.ZipFile(opened) as archive:
                member = archive.testzip()
        except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, OSError) as error:
            return f"it is truncated or overwritten: {error}"
    return f"the checksum of {member} is wrong" if member else ""


def verify_checkpoint(file: Path) -> None:
    """``ValueError`` if a checkpoint is damaged; it names another one of the folder that is not."""
    if damage := damage_of(file):
        others = sorted(file.parent.glob("*.ckpt"), key=lambda other: other.stat().st_mtime, reverse=True)
        intact = next((other for other in others if other != file and not damage_of(other)), None)
        cure = f"take --ckpt_path {intact}" if intact else "its folder has no other checkpoint: start a new run"
        raise ValueError(f"{file} is damaged, {damage}: {cure}")


def read_checkpoint(file: Path, weights_only: bool = True) -> dict[str, Any]:
    """Contents of a checkpoint whose checksums were verified; tensors are mapped into memory, not read.

    Raises:
        ValueError: it is damaged, no checkpoint of a run, or holds what cannot be loaded safely.
    """
    verify_checkpoint(file)
    try:
        found = torch.load(file, map_location="cpu", mmap=True, weights_only=weights_only)
    except UnpicklingError as error:
        unsafe = " ".join(str(error).split()).partition("WeightsUnpickler error: ")[2].partition(". ")[0]
        raise ValueError(
            f"{file} holds what cannot be loaded safely ({unsafe or 'objects of a class'}): --weights_only false loads "
            "it and runs code from it"
        ) from error
    except Exception as error:  # a header that is damaged outside of the checksums
        raise ValueError(f"{file} is damaged: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict) or "global_step" not in found:
        raise ValueError(f"{file} is not a checkpoint of a run: to start from a file of weights, use --model.init_from")
    return found


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint beside its target and renames it, see `vmae_zoo.atomic_write`.

    The first one is read back, and a warning names what a resumed run could not load.
    """

    def __init__(self) -> None:
        super().__init__()
        self._read_back = False

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
            with atomic_write(target) as partial:
                with partial.open("wb") as file:
                    torch.save(checkpoint, file)
                if not self._read_back:
                    self._read_back = True
                    _check_loadable(partial, checkpoint)
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__  # torch replaces the file's OSError
            if not isinstance(cause, OSError):
                raise
            reason = _describe_error(cause, target.parent, checkpoint)
            raise NotSavedError(f"{target} could not be written: {reason}") from error


def _check_loadable(file: Path, checkpoint: dict[str, Any]) -> None:
    """Warn if a checkpoint cannot be loaded safely again."""
    try:
        torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except UnpicklingError:
        rank_zero_warn(
            f"a resumed run could not load {', '.join(_unsafe_parts(checkpoint))}: what state_dict() and "
            "save_hyperparameters() keep has to be numbers, strings, tensors, lists and dicts; such a checkpoint is "
            "resumed only with --weights_only false, which runs code from the file"
        )


def _unsafe_parts(checkpoint: dict[str, Any]) -> Iterator[str]:
    parts = {f"the state of {name}": state for name, state in checkpoint.get("callbacks", {}).items()}
    weights = ("state_dict", "optimizer_states", "current_model_state")
    parts |= {f"'{name}'": part for name, part in checkpoint.items() if name not in ("callbacks", *weights)}
    for name, part in parts.items():
        buffer = io.BytesIO()
        torch.save(part, buffer)
        buffer.seek(0)
        try:
            torch.load(buffer, weights_only=True)
        except UnpicklingError:
            yield name


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
