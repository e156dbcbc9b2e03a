"""A method and a data module of a few numbers: guests, as users define them outside the package."""

from pathlib import Path

import torch
from lightning import Callback
from torch.utils.data import DataLoader, TensorDataset

from vmae_zoo.data import VideoDataModule
from vmae_zoo.methods import Method


class Toy(Method):
    """Shrinks the output of a linear layer."""

    def __init__(self, width: int = 4, lr: float = 0.1, frames: int = 1, fail_at: int | None = None):
        super().__init__()
        if width < 1:
            raise ValueError(f"width = {width}: must be >= 1")
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

    def export_config(self):
        return {"method": "toys.Toy", "hparams": dict(self.hparams)}


class OddState(Callback):
    """Keeps an object of a class in checkpoints."""

    def state_dict(self):
        return {"place": Path("somewhere")}

    def load_state_dict(self, state_dict):
        pass


class SmallToy(Toy):
    """A derived method with one more argument; the others are handed on."""

    def __init__(self, ratio: float = 0.5, **settings):
        super().__init__(**settings)


class ToyData(VideoDataModule):
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
