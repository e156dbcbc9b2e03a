"""A method and a data module of a few numbers, for what the command line does around them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning import LightningDataModule, LightningModule
from torch.utils.data import DataLoader, TensorDataset

RECIPE = "model: {class_path: Toy}\ndata: {batch_size: 4}\ntrainer: {max_epochs: 2, accelerator: cpu}\n"


class Toy(LightningModule):
    """Shrinks the output of a linear layer."""

    def __init__(self, width: int = 4, lr: float = 0.1, frames: int = 1, fail_at: int | None = None):
        super().__init__()
        if width < 1:
            raise ValueError(f"width = {width}: it counts from 1")
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, width)

    def training_step(self, batch, batch_idx):
        if self.hparams["fail_at"] is not None and self.global_step >= self.hparams["fail_at"]:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        loss = self.layer(batch[0]).square().mean()
        self.log("loss/train", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("loss/val", self.layer(batch[0]).square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams["lr"])


class SmallToy(Toy):
    """A derived method with one setting more, and the rest handed on."""

    def __init__(self, ratio: float = 0.5, **settings):
        super().__init__(**settings)


class ToyData(LightningDataModule):
    """16 rows of 4 numbers."""

    def __init__(
        self,
        root: str | None = None,
        frames: int = 16,
        stride_frames: int = 4,
        size: int = 224,
        batch_size: int = 2,
        seed: int = 0,
    ):
        super().__init__()
        self.root, self.frames, self.batch_size, self.seed = root, frames, batch_size, seed

    def setup(self, stage):
        if self.root is not None:
            raise ValueError(f"data.root = {self.root} is not there")

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.arange(64.0).view(16, 4) / 64), batch_size=self.batch_size)

    def val_dataloader(self):
        return self.train_dataloader()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to run in, with the recipe ``toy.yaml``."""
    monkeypatch.chdir(tmp_path)
    Path("toy.yaml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def vmae(here) -> Callable[..., int]:
    """The command line over the toys: takes arguments, returns the exit code."""
    from vmae_zoo.cli.errors import report_errors
    from vmae_zoo.cli.trainer import ZooCLI, quieten

    def run(*arguments: str) -> int:
        quieten()
        return report_errors(lambda: ZooCLI([str(argument) for argument in arguments], Toy, ToyData) and 0)

    return run
