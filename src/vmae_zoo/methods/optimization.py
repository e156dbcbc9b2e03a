"""How methods are optimized: AdamW with the published parameter groups, schedules per step, gradient clipping."""

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.optim import Optimizer

from vmae_zoo.lightning_internals import scales_loss
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.training.parameter_groups import parameter_groups
from vmae_zoo.training.schedules import RunLength, Schedule, run_length


class OptimizedModule(lightning.LightningModule):
    """A module that is optimized by the hyperparameters of `vmae_zoo.methods.base.Method`.

    Attributes:
        no_decay: last components of the names of parameters without weight decay, beside 1-D parameters.
        decay_all: apply weight decay to all parameters.
        first_step: number of the first optimizer step in schedules.
    """

    encoder: Encoder
    no_decay: frozenset[str] = frozenset()
    decay_all = False
    first_step = 0

    def optimizer(self, groups: list[dict[str, Any]], lr: float) -> Optimizer:
        """Fused AdamW."""
        return torch.optim.AdamW(groups, lr=lr, betas=tuple(self.hparams["betas"]), fused=True)

    def run_length(self) -> RunLength:
        """Steps and warm-up steps of this run."""
        return run_length(self.trainer, self.hparams["warmup_epochs"], self.hparams["warmup_steps"])

    def lr_factor(self, step: int, run: RunLength, schedule: Schedule) -> float:
        """Factor on the learning rate at a 0-based step."""
        return schedule.lr_factor(step)

    def configure_optimizers(self) -> Any:
        """The optimizer; learning rate and weight decay follow a `Schedule` at each step."""
        settings, run = self.hparams, self.run_length()
        lr, min_lr, start_lr = settings["lr"], settings["min_lr"], settings["start_lr"]
        if lr is None:
            if run.global_batch is None:
                raise ValueError(
                    f"base_lr = {settings['base_lr']} needs a data module with global_batch, such as ClipDataModule: "
                    "give lr instead"
                )
            lr, min_lr, start_lr = (rate * run.global_batch / 256 for rate in (settings["base_lr"], min_lr, start_lr))
        if run.warmup_steps >= run.steps:
            rank_zero_warn(
                f"the warm-up of {run.warmup_steps} steps does not end within the {run.steps} steps of this run, so "
                f"the learning rate stays below {lr:.3g}: lower model.warmup_steps (or warmup_epochs)"
            )
        groups = parameter_groups(
            self,
            settings["weight_decay"],
            lr=lr,
            exempt=self.no_decay,
            layer_decay=settings.get("layer_decay", 1.0),
            depth=len(self.encoder.blocks),
            decay_all=self.decay_all,
        )
        optimizer = self.optimizer(groups, lr)
        schedule = Schedule(
            run.steps,
            run.warmup_steps,
            start_lr / lr if lr else 0.0,
            min_lr / lr if lr else 0.0,
            settings["lr_decay"],
            settings["schedule_stretch"],
            self.first_step,
        )
        if settings["weight_decay_end"] is not None:
            optimizer.register_step_pre_hook(lambda optimizer, *_: self._set_weight_decay(optimizer, schedule))
        factors = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.lr_factor(step, run, schedule))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": factors, "interval": "step"}}

    def _set_weight_decay(self, optimizer: Optimizer, schedule: Schedule) -> None:
        start, end = self.hparams["weight_decay"], self.hparams["weight_decay_end"]
        for group in optimizer.param_groups:
            if group["weight_decay"]:
                group["weight_decay"] = schedule.weight_decay(self.global_step, start, end)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip as the trainer is set; Lightning itself refuses to clip for fused optimizers under bf16-mixed."""
        if self.current_epoch < self.hparams["clip_from_epoch"]:
            return
        if scales_loss(self.trainer):
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val and gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        elif gradient_clip_val:
            for module in self.clipped_modules():
                torch.nn.utils.clip_grad_norm_(module.parameters(), gradient_clip_val)

    def clipped_modules(self) -> Sequence[torch.nn.Module]:
        """Modules whose gradients are clipped, each by the norm of its own."""
        return (self,)
