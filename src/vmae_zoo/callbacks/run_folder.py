"""The folder of a run: its recipe, its ``summary.json``, and the place of other callbacks' files."""

import math
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

import vmae_zoo
from vmae_zoo.data.interfaces import VideoDataModule, data_of, save_now
from vmae_zoo.lightning_internals import set_default_root_dir
from vmae_zoo.run_record import LAST, number_of, read_summary, write_recipe, write_summary
from vmae_zoo.training.optimizer_settings import apply_settings, optimizer_settings

PACKAGES = ("torch", "lightning", "torchvision", "timm", "av")


class RunFolder(Callback):
    """Sets the run folder, the same in every process, and writes ``recipe.yaml`` and ``summary.json`` into it.

    ``trainer.default_root_dir`` is the run folder from ``setup`` on, whatever the loggers are. A resumed run takes
    learning rate, weight decay and other settings of the optimizer from its recipe, not from the checkpoint.

    Args:
        folder: the run folder; that of the first process is used by all.
        recipe: name of the recipe.
        settings: YAML of every setting, written when training starts.
        explain: the sentence about an exception that ``summary.json`` gives as reason.

    Attributes:
        began: whether training has started.
    """

    def __init__(self, folder: Path, recipe: str, settings: str = "", explain: Callable[[BaseException], str] = str):
        self.folder = folder
        self.recipe = recipe
        self.settings = settings
        self.explain = explain
        self.training = self.began = False
        self._started = self._resumed = time.time()
        self._seconds_before = 0.0
        self._optimizers: list[list[dict[str, Any]]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Use the folder of the first process; a `ModelCheckpoint` without a folder writes there too."""
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))
        set_default_root_dir(trainer, str(self.folder))
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(self.folder / "checkpoints")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print recipe, batch, model, device and folder; keep the optimizer's settings before a checkpoint is read."""
        self._optimizers = optimizer_settings(trainer)
        if trainer.is_global_zero:
            print("\n".join(self.header_lines(trainer, pl_module)), flush=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write recipe and summary; measure the time, and add that before a resumption."""
        self.training = self.began = True
        self._resumed = time.time()
        before = read_summary(self.folder)
        if trainer.global_step:
            apply_settings(trainer, self._optimizers)
            self._seconds_before = before.get("seconds") or 0.0
            if trainer.is_global_zero:
                print(f"resumed: after step {trainer.global_step}, in epoch {trainer.current_epoch + 1}", flush=True)
        if "started" in before:
            self._started = datetime.fromisoformat(before["started"]).timestamp()
        if trainer.is_global_zero and self.settings:
            try:
                write_recipe(self.folder, self.settings, trainer.global_step)
            except OSError as error:  # a full disk does not end the run
                rank_zero_warn(f"recipe.yaml of {self.folder} is not up to date: {error.strerror}")
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
        """Save the last complete step of a failed run of one process; write the summary."""
        if self.training:
            self.training = False
            if isinstance(exception, (KeyboardInterrupt, SystemExit)):
                return self.write(trainer, "interrupted")
            for _ in range(2):  # PyTorch's signal handler for dead data workers may raise within the first attempt
                with suppress(Exception):  # the error that ends the run is the one to report
                    save_now(trainer)
                    break
            self.write(trainer, "failed", self.explain(exception))

    def header_lines(self, trainer: Trainer, pl_module: LightningModule) -> list[str]:
        """Lines that are printed before training starts."""
        lines = [f"recipe: {self.recipe}, seed {os.environ.get('PL_GLOBAL_SEED', 'not set')}"]
        data = data_of(trainer)
        if data.global_batch:
            lines.append(f"batch:  {batch_arithmetic(data, trainer)}")
        lines += shorter_by_epochs(trainer, data)
        lines.append(f"model:  {parameters(pl_module)}")
        lines.append(f"device: {device_name(trainer)}, precision {trainer.precision}")
        return [*lines, f"folder: {self.folder}"]

    @rank_zero_only
    def write(self, trainer: Trainer, state: str, reason: str | None = None) -> None:
        """Write ``summary.json``."""
        global_batch = data_of(trainer).global_batch
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        last = self.folder / LAST
        summary: dict[str, Any] = {
            "recipe": self.recipe,
            "state": state,
            "reason": reason,
            "number": number_of(self.folder),
            "started": datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
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
        try:
            write_summary(self.folder, summary)
        except OSError as error:  # a full disk does not end the run
            rank_zero_warn(f"summary.json of {self.folder} is not up to date: {error.strerror}")


def shorter_by_epochs(trainer: Trainer, data: VideoDataModule) -> list[str]:
    """A line if ``max_epochs`` ends the run before ``max_steps``."""
    epochs, steps = trainer.max_epochs or -1, data.steps_per_epoch or 0
    if not 0 < epochs * steps < trainer.max_steps:
        return []
    return [
        f"length: trainer.max_epochs = {epochs} ends the run after {epochs * steps} steps, before trainer.max_steps = "
        f"{trainer.max_steps}; --trainer.max_epochs -1 leaves the length to max_steps"
    ]


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
