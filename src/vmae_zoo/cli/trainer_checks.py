"""Choices of a trainer that runs do not support."""

from collections.abc import Mapping
from typing import Any

from lightning import LightningModule
from lightning.pytorch.callbacks import BackboneFinetuning


def check_trainer(settings: Mapping[str, Any], model: LightningModule) -> None:
    """``ValueError`` for settings of the trainer that do not work with runs, or with this model."""
    if settings["barebones"]:
        raise ValueError(
            "trainer.barebones = True leaves out checkpoints and progress, which every run has: to measure speed, use "
            "`vmae-zoo bench train`"
        )
    if str(settings["precision"]).startswith("64") and type(model).__module__.startswith("vmae_zoo."):
        raise ValueError(f"trainer.precision = {settings['precision']}: the networks take float32 pixels: use 32-true")
    finetunes = any(isinstance(callback, BackboneFinetuning) for callback in settings["callbacks"] or [])
    if finetunes and "backbone" not in dict(model.named_children()):
        raise ValueError(
            f"trainer.callbacks: BackboneFinetuning needs a module `backbone`, which {type(model).__name__} lacks: a "
            "Classifier trains its encoder with the lower rates of model.layer_decay"
        )
