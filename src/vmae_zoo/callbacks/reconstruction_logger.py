"""Reconstructions of fixed clips during training, as images and numbers, in the run folder and in TensorBoard."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_warn

from vmae_zoo.data.dataset import collate
from vmae_zoo.data.interfaces import data_of
from vmae_zoo.lightning_internals import is_trial_run
from vmae_zoo.setting_checks import check_least
from vmae_zoo.viz.picture import contact_sheet
from vmae_zoo.viz.reconstruction import Reconstruction, caption, panels, reconstruct, reconstructs


class ReconstructionLogger(Callback):
    """Writes ``pictures/step-N.png`` and a line of ``pictures/numbers.jsonl``; nothing for methods without pixels.

    The clips are the same at every step: middle of the video, center crop, fixed mask, of the validation set if there
    is one, else of the training set. No global random state is used, and the mode of the method is restored.

    Args:
        every_n_steps: optimizer steps between two images; there is always one at the end of training.
        clips: number of clips.
        columns: number of frames of each clip.
    """

    def __init__(self, every_n_steps: int = 500, clips: int = 2, columns: int = 8):
        check_least("pictures.", 1, every_n_steps=every_n_steps, clips=clips, columns=columns)
        self.every_n_steps, self.clips, self.columns = every_n_steps, clips, columns
        self._batch: dict[str, Any] | None = None
        self._written_at: int | None = None
        self._last: Reconstruction | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run already has an image of its first step."""
        self._written_at = trainer.global_step or None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write an image every ``every_n_steps``."""
        if self._batch is None and reconstructs(pl_module):
            self._batch = fixed_clips(trainer, self.clips) or {
                name: values[: self.clips].cpu() for name, values in batch.items()
            }
        if trainer.global_step and trainer.global_step % self.every_n_steps == 0:
            self._log(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write an image of the end of training and print its error."""
        self._log(trainer, pl_module)
        if self._last is not None and trainer.is_global_zero:
            print(f"reconstruction: {caption(self._last)}", flush=True)

    def _log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._batch is None or trainer.global_step == self._written_at or is_trial_run(trainer):
            return
        self._written_at = trainer.global_step
        replicated = isinstance(trainer.strategy, (DDPStrategy, SingleDeviceStrategy))
        if replicated and not trainer.is_global_zero:
            return  # only sharded weights need every process in the forward pass
        batch = {name: values.to(pl_module.device) for name, values in self._batch.items()}
        with trainer.precision_plugin.forward_context():
            self._last = reconstruct(pl_module, batch)  # type: ignore[arg-type]
        if trainer.is_global_zero:
            try:
                self._write(trainer, self._last)
            except OSError as error:  # a full disk does not end the run
                rank_zero_warn(f"the image of step {trainer.global_step} was not written: {error.strerror or error}")

    def _write(self, trainer: Trainer, result: Reconstruction) -> None:
        step, numbers = trainer.global_step, result.numbers()
        folder = Path(trainer.default_root_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        image = contact_sheet(panels(result, self.columns, [f"step {step}"] + [""] * (self.clips - 1)))
        image.save(folder / f"step-{step:06d}.png")
        with (folder / "numbers.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **{name: round(value, 7) for name, value in numbers.items()}}) + "\n")
        for logger in trainer.loggers:
            logger.log_metrics({f"reconstruction/{name}": value for name, value in numbers.items()}, step)
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("reconstruction", np.asarray(image), step, dataformats="HWC")


def fixed_clips(trainer: Trainer, clips: int) -> dict[str, torch.Tensor] | None:
    """Validation clips, or training clips, spread over the records; None if the data module lists none."""
    data = data_of(trainer)
    records = data.validation_records or data.records
    if not records:
        return None
    dataset = data.dataset(records, train=False)
    batch = collate([dataset[len(records) * clip // clips] for clip in range(min(clips, len(records)))])
    batch.pop("bad", None)
    return batch or None
