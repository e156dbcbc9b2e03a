"""The run folder: announced at the start, summed up at the end."""

import json
import platform
import time
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

import vmae_zoo

PACKAGES = ("torch", "lightning", "torchvision", "timm", "av")


class RunFolder(Callback):
    """Gives every process the same folder and writes ``summary.json`` into it.

    Args:
        folder: the run folder as this process named it; that of the first process counts.
        recipe: name of the recipe.
    """

    def __init__(self, folder: Path, recipe: str):
        self.folder = folder
        self.recipe = recipe
        self._started = time.time()
        self._first_step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take over the first process's folder."""
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))
        trainer._default_root_dir = str(self.folder)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what runs where."""
        self._started, self._first_step = time.time(), trainer.global_step
        if trainer.is_global_zero:
            print("\n".join(self.opening(trainer)), flush=True)
        self.write(trainer, "running")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sum up a run that went through."""
        self.write(trainer, "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Sum up one that did not."""
        self.write(trainer, "interrupted" if isinstance(exception, KeyboardInterrupt) else "failed")

    def opening(self, trainer: Trainer) -> list[str]:
        """The lines printed when training starts."""
        lines = [f"recipe: {self.recipe}"]
        data = trainer.datamodule  # type: ignore[attr-defined]
        if getattr(data, "global_batch", None):
            lines.append(
                f"batch:  {data.batch_size} clips x {trainer.world_size} process{'es' * (trainer.world_size > 1)} x "
                f"{trainer.accumulate_grad_batches} accumulated = {data.global_batch}"
            )
        lines.append(f"device: {device_name(trainer)}, precision {trainer.precision}")
        if trainer.global_step:
            lines.append(f"resumed: step {trainer.global_step}, epoch {trainer.current_epoch}")
        lines.append(f"folder: {self.folder}")
        return lines

    @rank_zero_only
    def write(self, trainer: Trainer, state: str) -> None:
        """Write ``summary.json``."""
        if trainer.fast_dev_run or not self.folder.is_dir():
            return
        last = self.folder / "checkpoints" / "last.ckpt"
        steps = trainer.global_step - self._first_step
        global_batch = getattr(trainer.datamodule, "global_batch", None)  # type: ignore[attr-defined]
        summary: dict[str, Any] = {
            "recipe": self.recipe,
            "state": state,
            "started": datetime.fromtimestamp(self._started).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self._started, 1),
            "steps": trainer.global_step,
            "steps_of_this_session": steps,
            "epoch": trainer.current_epoch,
            "samples": trainer.global_step * global_batch if global_batch else None,
            "metrics": {name: round(float(value), 6) for name, value in trainer.callback_metrics.items()},
            "checkpoint": str(last.relative_to(self.folder)) if last.exists() else None,
            "device": device_name(trainer),
            "processes": trainer.world_size,
            "precision": str(trainer.precision),
            "versions": versions(),
        }
        (self.folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def device_name(trainer: Trainer) -> str:
    """The devices of a run in words."""
    if trainer.strategy.root_device.type == "cuda":
        return f"{trainer.world_size} x {torch.cuda.get_device_name(trainer.strategy.root_device)}"
    return f"{trainer.world_size} x {trainer.strategy.root_device.type}"


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    found = {"vmae_zoo": vmae_zoo.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
