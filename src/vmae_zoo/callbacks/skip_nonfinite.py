"""No optimiser step on a loss or a gradient that is not finite.

Such a step is skipped whole: weights, moments and step counts stay as they are, while the data and the schedule move
on. The verdict is made on the device (is the summed loss, is the norm of all gradients finite?) and is the same in
every process. PyTorch's fused optimisers take it as ``found_inf``, which is how a loss scaler speaks to them, and skip
on the device without the host waiting; for any other optimiser the host looks once a step and takes the gradients away.
On a CPU verdicts are read each step, elsewhere every ``log_every_n_steps``: late reading does no harm, the steps were
skipped.
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
from vmae_zoo.training.checkpointing import LastCheckpoint, StepFilter

FILE = "skipped_steps.jsonl"


class DivergedError(ValueError):
    """Training goes on producing numbers that are not finite."""


@dataclass(frozen=True)
class StepCheck:
    """What decided whether a step was skipped; tensors, so that the device is not waited for."""

    step: int
    bad: Tensor  # float (), 1 where the step was skipped
    loss: Tensor
    norm: Tensor
    clips: tuple[Tensor, ...]  # int64 (B,) per accumulated batch


class SkipNonFiniteSteps(Callback, StepFilter):
    """Skips bad steps, writes them to ``skipped_steps.jsonl`` in the run folder, and acts when they do not stop.

    Args:
        patience: skipped steps in a row after which weights and optimiser go back to ``checkpoints/last.ckpt``; the
            place in the data stays, so other clips follow.
        rollbacks: times that may happen in a run; then, or where there is no checkpoint yet, the run ends with
            `DivergedError`.
    """

    def __init__(self, patience: int = 10, rollbacks: int = 3):
        if patience < 1 or rollbacks < 0:
            raise ValueError(
                f"finite.patience counts from 1 and finite.rollbacks from 0, got {patience} and {rollbacks}"
            )
        self.patience = patience
        self.rollbacks = rollbacks
        self.skipped = self.in_a_row = self.rolled_back = 0
        self._loss: Tensor | None = None
        self._clips: list[Tensor] = []
        self._verdicts: list[StepCheck] = []
        self._read_at = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember which clips a step is made of."""
        if isinstance(batch, dict) and "index" in batch:
            self._clips.append(batch["index"])

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Sum the losses of a step: not finite where one of them is not."""
        self._loss = loss.detach() if self._loss is None else self._loss + loss.detach()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Judge the step about to be made, and let it be skipped where it is bad."""
        loss, clips, self._loss, self._clips = self._loss, self._clips, None, []
        if loss is None or scales_loss(trainer):
            return  # under 16-mixed the loss scaler does all this, and bad steps are how it finds its scale
        norm = gradient_norm(optimizer)
        bad = (~(norm.isfinite() & loss.isfinite())).float()
        if trainer.world_size > 1:
            torch.distributed.all_reduce(bad, torch.distributed.ReduceOp.MAX)
        if all(group.get("fused") for group in optimizer.param_groups):
            optimizer.found_inf = bad  # type: ignore[attr-defined]
        elif bool(bad):
            optimizer.zero_grad(set_to_none=True)  # a parameter without a gradient is left alone, its moments too
        self._verdicts.append(StepCheck(trainer.global_step, bad, loss, norm, tuple(clips)))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Read the verdicts, log them, go back or stop."""
        interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        every = 1 if trainer.strategy.root_device.type == "cpu" else interval
        if self._verdicts and trainer.global_step != self._read_at and trainer.global_step % every == 0:
            self._read_at = trainer.global_step
            norm = self._verdicts[-1].norm
            self._read(trainer)
            pl_module.log("gradient/norm", norm)
            pl_module.log("gradient/skipped_steps", float(self.skipped))
            if self.in_a_row >= self.patience:
                self._go_back(trainer)

    def last_step_skipped(self, trainer: Trainer) -> bool:
        """Whether the last step was skipped: not a place to come back to."""
        self._read(trainer)
        return self.in_a_row > 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin where a resumed run stands."""
        self._read_at = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read what is left."""
        self._read(trainer)

    def state_dict(self) -> dict[str, int]:
        """The counts, for a checkpoint; verdicts not yet read are counted in."""
        skipped, in_a_row = self.skipped, self.in_a_row
        for verdict in self._verdicts:
            bad = int(verdict.bad)
            skipped, in_a_row = skipped + bad, (in_a_row + 1) * bad
        return {"skipped": skipped, "in_a_row": in_a_row, "rolled_back": self.rolled_back}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Skipped steps before a checkpoint are in the file when the run goes on from there."""
        self._read(trainer)

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on counting."""
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]
        self.rolled_back = state_dict["rolled_back"]

    def _read(self, trainer: Trainer) -> None:
        if not self._verdicts:
            return
        verdicts, self._verdicts = self._verdicts, []
        numbers = torch.stack([torch.stack([v.bad, v.loss.float(), v.norm.float()]) for v in verdicts]).tolist()
        for verdict, (bad, loss, norm) in zip(verdicts, numbers, strict=True):
            self.in_a_row = self.in_a_row + 1 if bad else 0
            if bad:
                self.skipped += 1
                self._write(trainer, verdict, loss, norm)

    def _write(self, trainer: Trainer, verdict: StepCheck, loss: float, norm: float) -> None:
        indices = [trainer.strategy.all_gather(index_B).flatten().tolist() for index_B in verdict.clips]
        records = data_of(trainer).records
        if not trainer.is_global_zero:
            return
        file = Path(trainer.default_root_dir) / FILE
        if self.skipped == 1:
            rank_zero_warn(
                f"step {verdict.step} skipped: loss {loss:g}, gradient norm {norm:g}; all such steps: {file}"
            )
        line = {
            "step": verdict.step,
            "epoch": trainer.current_epoch,
            "loss": loss if math.isfinite(loss) else str(loss),
            "gradient_norm": norm if math.isfinite(norm) else str(norm),
            "clips": [records[index].id if records else index for batch in indices for index in batch],
        }
        with suppress(OSError):  # a full disk: the warning has been given
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as out:
                out.write(json.dumps(line) + "\n")

    def _go_back(self, trainer: Trainer) -> None:
        checkpoint = LastCheckpoint.folder(trainer) / "last.ckpt"
        there = trainer.strategy.broadcast(checkpoint.exists())
        if self.rolled_back >= self.rollbacks or not there:
            raise DivergedError(
                f"the last {self.in_a_row} steps before step {trainer.global_step} had a loss or gradient that is not "
                f"finite and were skipped, after {self.rolled_back} returns to {checkpoint}: lower the learning rate, "
                f"and look at the clips named in {Path(trainer.default_root_dir) / FILE}"
            )
        self.rolled_back, self.in_a_row = self.rolled_back + 1, 0
        rank_zero_warn(f"{self.patience} steps in a row were skipped: back to the weights of {checkpoint}")
        roll_back(trainer, checkpoint)


def gradient_norm(optimizer: Optimizer) -> Tensor:
    """The Euclidean norm of all gradients that ``optimizer`` is about to use, as a scalar on the device."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm  # sharded gradients (FSDP2)


def roll_back(trainer: Trainer, checkpoint: Path) -> None:
    """Take weights and optimiser from ``checkpoint``; the place in the data, the step and the rate stay."""
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
