"""The folder of a run and its ``summary.json``."""

import json
import math
import os
import platform
import shutil
import time
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

import vmae_zoo
from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.data.interfaces import VideoDataModule, data_of
from vmae_zoo.lightning_internals import set_default_root_dir

PACKAGES = ("torch", "lightning", "torchvision", "timm", "av")


class RunFolder(Callback):
    """Sets the run folder, the same in every process, and writes ``summary.json`` into it.

    ``trainer.default_root_dir`` and ``trainer.log_dir`` are the run folder from ``setup`` on.

    Args:
        folder: the run folder; that of the first process is used by all.
        recipe: name of the recipe.
        new: whether the folder was created for this run; it is removed if training does not start.
    """

    def __init__(self, folder: Path, recipe: str, new: bool = True):
        self.folder = folder
        self.recipe = recipe
        self.new = new
        self.training = False
        self._started = self._resumed = time.time()
        self._seconds_before = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Use the folder of the first process."""
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))
        set_default_root_dir(trainer, str(self.folder))

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print recipe, batch, model, device and folder."""
        print("\n".join(self.opening(trainer, pl_module)), flush=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the time, and add that before a resumption."""
        self.training, self._resumed = True, time.time()
        before = read_summary(self.folder) if trainer.global_step else {}
        self._seconds_before = before.get("seconds", 0.0)
        if "started" in before:
            self._started = datetime.fromisoformat(before["started"]).timestamp()
        if trainer.global_step and trainer.is_global_zero:
            print(f"resumed: after step {trainer.global_step}, in epoch {trainer.current_epoch + 1}", flush=True)
        self.write(trainer, "running")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Update the summary with each checkpoint."""
        if self.training:
            self.write(trainer, "running")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the summary of a finished run."""
        self.training = False
        self.write(trainer, "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write the summary of an interrupted or failed run; remove the folder of one that did not start."""
        if self.training:
            self.training = False
            stopped = isinstance(exception, (KeyboardInterrupt, SystemExit))
            self.write(trainer, "interrupted" if stopped else "failed")
        elif self.new and trainer.is_global_zero:
            remove(self.folder)

    def opening(self, trainer: Trainer, pl_module: LightningModule) -> list[str]:
        """Lines that are printed before training starts."""
        lines = [f"recipe: {self.recipe}, seed {os.environ.get('PL_GLOBAL_SEED', 'not set')}"]
        data = data_of(trainer)
        if data.global_batch:
            lines.append(f"batch:  {batch_arithmetic(data, trainer)}")
        lines.append(f"model:  {parameters(pl_module)}")
        lines.append(f"device: {device_name(trainer)}, precision {trainer.precision}")
        return [*lines, f"folder: {self.folder}"]

    @rank_zero_only
    def write(self, trainer: Trainer, state: str) -> None:
        """Write ``summary.json``."""
        global_batch = data_of(trainer).global_batch
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        last = self.folder / "checkpoints" / "last.ckpt"
        summary: dict[str, Any] = {
            "recipe": self.recipe,
            "state": state,
            "started": datetime.fromtimestamp(self._started).isoformat(timespec="seconds"),
            "seconds": round(self._seconds_before + time.time() - self._resumed, 1),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "samples": trainer.global_step * global_batch if global_batch else None,
            "metrics": {name: round(value, 6) if math.isfinite(value) else None for name, value in metrics.items()},
            "checkpoint": str(last) if state != "running" and last.exists() else None,
            "device": device_name(trainer),
            "processes": trainer.world_size,
            "precision": str(trainer.precision),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "versions": versions(),
        }
        file = self.folder / "summary.json"
        try:
            with atomic_write(file) as partial:
                partial.write_text(json.dumps(summary, indent=2) + "\n")
        except OSError as error:  # a full disk does not end the run
            rank_zero_warn(f"{file} is not up to date: {error.strerror}")


def remove(folder: Path) -> None:
    """Remove a run folder, and its parents ``runs/<recipe>`` and ``runs`` if they are empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    for parent in (folder.parent, folder.parent.parent):
        if any(parent.iterdir()):
            return
        parent.rmdir()


def read_summary(folder: Path) -> dict[str, Any]:
    """Content of ``summary.json`` of a run folder; empty if there is none."""
    file = folder / "summary.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def batch_arithmetic(data: VideoDataModule, trainer: Trainer) -> str:
    """Factors of the global batch: ``8 clips x 2 processes x 4 accumulated = 64 clips a step``."""
    parts = [f"{data.batch_size} clips", f"{trainer.world_size} process{'es' if trainer.world_size > 1 else ''}"]
    if trainer.accumulate_grad_batches > 1:
        parts.append(f"{trainer.accumulate_grad_batches} accumulated")
    each = f", each read {data.repeats} times" if data.repeats > 1 else ""
    return f"{' x '.join(parts)} = {data.global_batch} clips a step{each}"


def parameters(module: LightningModule) -> str:
    """Number of parameters: ``VideoMAE, 6.0 M parameters (encoder 5.6 M, decoder 0.4 M)``."""
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in module.named_children()}
    total = sum(p.numel() for p in module.parameters())
    parts = ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in counts.items() if count > total / 100)
    return f"{type(module).__name__}, {total / 1e6:.1f} M parameters ({parts})"


def device_name(trainer: Trainer) -> str:
    """Number and name of the devices of a run."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{trainer.world_size} x {name}"


def versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that affect the results."""
    found = {"vmae_zoo": vmae_zoo.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
