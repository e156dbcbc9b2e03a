"""A running average of the weights, which is validated with and saved first.

Lightning's `WeightAveraging` keeps it; left alone, that callback keeps the average on the CPU (which the device then
waits for each step), overwrites the weights with it when training ends (so that a longer run could not go on from
there), and saves the two the wrong way round in the middle of a validation.
"""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

RAW = "current_model_state"  # Lightning's key for the weights that are trained; "state_dict" holds the average


class EMA(WeightAveraging):
    """Averages the weights after each optimiser step: ``average = decay * average + (1 - decay) * weights``.

    A checkpoint's "state_dict" is then the average (`load_pretrained`, `validate` and the probes take that one), and
    the weights that are trained lie beside it, so that a resumed run is exact. Losses of training and pictures are of
    the weights that are trained. Buffers are not averaged.

    Args:
        decay: 0.9999 is usual for long runs, 0.99 for short ones; None keeps no average.
    """

    def __init__(self, decay: float | None = None):
        if decay is not None and not 0 < decay < 1:
            raise ValueError(f"ema.decay = {decay}: choose between 0 and 1, such as 0.9999, or null")
        super().__init__(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay or 0.0))
        self.decay = decay
        self._swapped = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Start from the weights that training starts from."""
        if self.decay is None or stage != "fit":
            return
        if not isinstance(trainer.strategy, (DDPStrategy, SingleDeviceStrategy)):
            raise ValueError("ema.decay wants whole weights, which this strategy shards: use ddp, or leave it out")
        if str(trainer.precision).endswith("-true") and trainer.precision != "32-true":
            raise ValueError(f"ema.decay under precision {trainer.precision} rounds to nothing: use bf16-mixed")
        device = trainer.strategy.root_device
        self._average_model = AveragedModel(pl_module, device, **self._kwargs, use_buffers=False)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average, once a step."""
        if self._average_model is not None:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the weights as they are."""

    def _swap_models(self, pl_module: LightningModule) -> None:
        self._swapped = not self._swapped
        super()._swap_models(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Nothing where no average is kept."""
        return super().state_dict() if self._average_model is not None else {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the average first, also while it stands in for the weights in a validation."""
        if self._average_model is None:
            return
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._swapped:
            checkpoint["state_dict"], checkpoint[RAW] = checkpoint[RAW], checkpoint["state_dict"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with both; a run without an average goes on with the weights that were trained."""
        if trainer.state.fn != "fit":
            return
        if self._average_model is not None:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
        elif RAW in checkpoint:
            rank_zero_warn("the checkpoint's averaged weights are dropped: give --ema.decay to keep the average")
            load_weights(trainer, checkpoint)


def load_weights(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Put in the weights that are trained; under ``fsdp2`` reading the file has put in those of "state_dict"."""
    weights = checkpoint.get(RAW, checkpoint.get("state_dict"))
    if weights is not None:
        trainer.strategy.load_model_state_dict({"state_dict": weights})
