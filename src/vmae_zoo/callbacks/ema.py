"""An exponential moving average of the weights, which is validated and saved as the model.

A subclass of Lightning's `WeightAveraging`, which keeps the average on the CPU (a host-device sync every step),
overwrites the trained weights with it at the end of training (so that a longer run could not be resumed), and exchanges
the two in a checkpoint that is saved during a validation. It overrides the private ``_swap_models`` and sets the
private ``_average_model`` and ``_latest_update_step``, of Lightning 2.6.
"""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

RAW = "current_model_state"  # Lightning's key of the trained weights; "state_dict" holds the average


class EMA(WeightAveraging):
    """Averages the weights after each optimizer step: ``average = decay * average + (1 - decay) * weights``.

    The "state_dict" of a checkpoint is the average, which `load_pretrained`, `validate` and the probes use; the trained
    weights are saved beside it, so that a resumed run is exact. Training losses and reconstructions use the trained
    weights. Buffers are not averaged.

    Args:
        decay: in (0, 1), for example 0.9999 for long runs and 0.99 for short ones; None disables the average.
    """

    def __init__(self, decay: float | None = None):
        if decay is not None and not 0 < decay < 1:
            raise ValueError(f"ema.decay = {decay}: choose a value between 0 and 1, such as 0.9999, or null")
        super().__init__(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay or 0.0))
        self.decay = decay
        self._swapped = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """``ValueError`` for a strategy or precision without support; what an earlier training averaged is gone."""
        if self.decay is None or stage != "fit":
            return
        self._average_model, self._latest_update_step, self._swapped = None, 0, False
        if not isinstance(trainer.strategy, (DDPStrategy, SingleDeviceStrategy)):
            raise ValueError(
                f"ema.decay = {self.decay} does not support a strategy that shards weights: use ddp, or set it to null"
            )
        if str(trainer.precision).endswith("-true") and trainer.precision != "32-true":
            raise ValueError(
                f"trainer.precision = {trainer.precision} rounds the updates of ema.decay = {self.decay} to 0: "
                "use bf16-mixed"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the average; not before, since a classifier's head is created when its data are set up."""
        if self.decay is not None and self._average_model is None:
            device = trainer.strategy.root_device
            self._average_model = AveragedModel(pl_module, device, **self._kwargs, use_buffers=False)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Update the average once per optimizer step, without the host-device sync of PyTorch's `AveragedModel`."""
        if self._average_model is None or self.decay is None or trainer.global_step <= self._latest_update_step:
            return
        kept = self.decay if self._latest_update_step else 0.0  # the first update copies
        with torch.no_grad():
            torch._foreach_lerp_(
                tuple(self._average_model.module.parameters()), tuple(pl_module.parameters()), 1 - kept
            )
            self._average_model.n_averaged += 1
        self._latest_update_step = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the trained weights."""

    def _swap_models(self, pl_module: LightningModule) -> None:
        self._swapped = not self._swapped
        super()._swap_models(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Step of the last update; empty without an average."""
        return super().state_dict() if self._average_model is not None else {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the average as "state_dict", also while it is swapped with the weights during a validation."""
        if self._average_model is None:
            return
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._swapped:
            checkpoint["state_dict"], checkpoint[RAW] = checkpoint[RAW], checkpoint["state_dict"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore both; without an average, resume from the trained weights."""
        if trainer.state.fn != "fit":
            return
        if self.decay is not None:
            self.on_fit_start(trainer, pl_module)
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
        elif RAW in checkpoint:
            rank_zero_warn(
                "the checkpoint has averaged weights, which this run discards: set ema.decay to keep the average"
            )
            load_weights(trainer, checkpoint)


def load_weights(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Load the trained weights of a checkpoint; with ``fsdp2``, reading the file has loaded its "state_dict"."""
    weights = checkpoint.get(RAW, checkpoint.get("state_dict"))
    if weights is not None:
        trainer.strategy.load_model_state_dict({"state_dict": weights})
