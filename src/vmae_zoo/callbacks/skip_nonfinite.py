"""Skips optimizer steps whose loss or gradient is not finite.

Weights, optimizer state and its step count stay as they are; the data and the schedule advance. Whether a step is
skipped is computed on the device (are the summed loss and the norm of all gradients finite?) and is the same in every
process. PyTorch's fused optimizers accept it as ``found_inf``, made for gradient scalers, and skip the step without a
host-device sync; for other optimizers the host reads it at every step and removes the gradients. Results are read and
logged at every step on a CPU, otherwise every ``log_every_n_steps``.
"""

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from vmae_zoo.callbacks.ema import EMA, load_weights
from vmae_zoo.data.interfaces import data_of
from vmae_zoo.lightning_internals import scales_loss
from vmae_zoo.setting_checks import check_least
from vmae_zoo.training.checkpointing import LastCheckpoint, StepFilter

FILE = "skipped_steps.jsonl"


class DivergedError(ValueError):
    """Losses or gradients are not finite step after step."""


@dataclass(frozen=True)
class StepCheck:
    """Whether a step was skipped and why, as tensors that are not read back yet.

    ``loss``, the norm of all gradients, and ``skipped``, 1 or 0, are float (); ``clips`` are int64 (B,) record indices
    of each accumulated batch.
    """

    step: int
    skipped: Tensor
    loss: Tensor
    norm: Tensor
    clips: tuple[Tensor, ...]


class SkipNonFiniteSteps(Callback, StepFilter):
    """Skips steps that are not finite and writes them to ``skipped_steps.jsonl``; rolls back if many follow.

    Args:
        patience: skipped steps in a row after which weights and optimizer are restored from ``checkpoints/last.ckpt``;
            the position in the data is kept, so that other clips follow.
        rollbacks: number of times that this may happen in a run; then, or if there is no checkpoint yet, the run ends
            with `DivergedError`.
    """

    def __init__(self, patience: int = 10, rollbacks: int = 3):
        check_least("finite.", 1, patience=patience)
        check_least("finite.", 0, rollbacks=rollbacks)
        self.patience = patience
        self.rollbacks = rollbacks
        self.skipped = self.in_a_row = self.rolled_back = 0
        self._loss: Tensor | None = None
        self._clips: list[Tensor] = []
        self._checks: list[StepCheck] = []
        self._read_at = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Store which clips the step uses."""
        if isinstance(batch, dict) and "index" in batch:
            self._clips.append(batch["index"])

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Sum the losses of the accumulated batches."""
        self._loss = loss.detach() if self._loss is None else self._loss + loss.detach()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Check loss and gradients, and make the optimizer skip the step if they are not finite."""
        loss, clips, self._loss, self._clips = self._loss, self._clips, None, []
        if loss is None or scales_loss(trainer):
            return  # the gradient scaler of 16-mixed skips steps itself, and finds its scale by them
        norm = gradient_norm(optimizer)
        skipped = (~(norm.isfinite() & loss.isfinite())).float()
        if trainer.world_size > 1:
            torch.distributed.all_reduce(skipped, torch.distributed.ReduceOp.MAX)
        if all(group.get("fused") for group in optimizer.param_groups):
            optimizer.found_inf = skipped  # type: ignore[attr-defined]
        elif bool(skipped):
            optimizer.zero_grad(set_to_none=True)  # optimizers leave a parameter without a gradient unchanged
        self._checks.append(StepCheck(trainer.global_step, skipped, loss, norm, tuple(clips)))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Read and log the checks; roll back or raise `DivergedError`."""
        interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        every = 1 if trainer.strategy.root_device.type == "cpu" else interval
        if self._checks and trainer.global_step != self._read_at and trainer.global_step % every == 0:
            self._read_at = trainer.global_step
            norm = self._checks[-1].norm
            self._read(trainer)
            pl_module.log("gradient/norm", norm)
            pl_module.log("gradient/skipped_steps", float(self.skipped))
            if self.in_a_row >= self.patience:
                self._roll_back(trainer)

    def last_step_skipped(self, trainer: Trainer) -> bool:
        """Whether the last step was skipped, so that no checkpoint should be written."""
        self._read(trainer)
        return self.in_a_row > 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Continue from the step of a resumed run."""
        self._read_at = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the remaining checks."""
        self._read(trainer)

    def state_dict(self) -> dict[str, int]:
        """The counts, including checks that are not read yet."""
        skipped, in_a_row = self.skipped, self.in_a_row
        for check in self._checks:
            bad = int(check.skipped)
            skipped, in_a_row = skipped + bad, (in_a_row + 1) * bad
        return {"skipped": skipped, "in_a_row": in_a_row, "rolled_back": self.rolled_back}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write skipped steps to the file before a checkpoint counts them."""
        self._read(trainer)

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the counts."""
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]
        self.rolled_back = state_dict["rolled_back"]

    def _read(self, trainer: Trainer) -> None:
        if not self._checks:
            return
        checks, self._checks = self._checks, []
        numbers = torch.stack([torch.stack([c.skipped, c.loss.float(), c.norm.float()]) for c in checks]).tolist()
        for check, (skipped, loss, norm) in zip(checks, numbers, strict=True):
            self.in_a_row = self.in_a_row + 1 if skipped else 0
            if skipped:
                self.skipped += 1
                self._write(trainer, check, loss, norm)

    def _write(self, trainer: Trainer, check: StepCheck, loss: float, norm: float) -> None:
        indices = [trainer.strategy.all_gather(index_B).flatten().tolist() for index_B in check.clips]
        records = data_of(trainer).records
        if not trainer.is_global_zero:
            return
        file = Path(trainer.default_root_dir) / FILE
        if self.skipped == 1:
            rank_zero_warn(
                f"step {check.step} was skipped: loss {loss:g}, gradient norm {norm:g}; skipped steps are listed in "
                f"{file}"
            )
        line = {
            "step": check.step,
            "epoch": trainer.current_epoch,
            "loss": loss if math.isfinite(loss) else str(loss),
            "gradient_norm": norm if math.isfinite(norm) else str(norm),
            "clips": [records[index].id if records else index for batch in indices for index in batch],
        }
        with suppress(OSError):  # a full disk does not end the run
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as out:
                out.write(json.dumps(line) + "\n")

    def _roll_back(self, trainer: Trainer) -> None:
        checkpoint = LastCheckpoint.folder(trainer) / "last.ckpt"
        exists = trainer.strategy.broadcast(checkpoint.exists())
        if self.rolled_back >= self.rollbacks or not exists:
            raise DivergedError(
                f"loss or gradient was not finite in {self.in_a_row} steps in a row up to step {trainer.global_step}, "
                f"after {self.rolled_back} rollbacks to {checkpoint}: lower the learning rate, and look at the clips "
                f"listed in {Path(trainer.default_root_dir) / FILE}"
            )
        self.rolled_back, self.in_a_row = self.rolled_back + 1, 0
        rank_zero_warn(f"{self.patience} steps in a row were skipped: weights restored from {checkpoint}")
        roll_back(trainer, checkpoint)


def gradient_norm(optimizer: Optimizer) -> Tensor:
    """The L2 norm of all gradients of an optimizer, a scalar on the device."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm  # sharded gradients (FSDP2)


def roll_back(trainer: Trainer, checkpoint: Path) -> None:
    """Restore weights and optimizer; keep the position in the data, the step and the learning rate."""
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in trainer.optimizers]
    state = trainer.strategy.load_checkpoint(checkpoint, weights_only=True)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EMA):
            callback.on_load_checkpoint(trainer, trainer.lightning_module, state)
    load_weights(trainer, state)
    trainer.strategy.load_optimizer_state_dict(state)
    for optimizer, old in zip(trainer.optimizers, rates, strict=True):
        for group, rate in zip(optimizer.param_groups, old, strict=True):
            group["lr"] = rate
