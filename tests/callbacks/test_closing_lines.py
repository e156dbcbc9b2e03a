"""A training ends with its metrics, or with the command that continues it."""

import pytest
import torch
from lightning import LightningModule
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader

from vmae_zoo.callbacks.closing_lines import ClosingLines, resume_arguments


class Line(LightningModule):
    """A line whose loss is its step; interrupted at one."""

    def __init__(self, interrupted_at=None):
        super().__init__()
        self.layer, self.interrupted_at = torch.nn.Linear(1, 1), interrupted_at

    def training_step(self, batch, batch_idx):
        if self.global_step == self.interrupted_at:
            raise KeyboardInterrupt
        self.log("loss/train", float(self.global_step))
        self.log("lr", 1.0)
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder, module):
    callback = ClosingLines(["fit", "-c", "my recipe.yaml", "--ckpt_path", "old.ckpt", "--data.root=x"])
    quiet_trainer(folder, callback, max_steps=3).fit(module, DataLoader(torch.ones(8, 1)))


def test_the_last_metrics_are_printed(tmp_path, capsys):
    fit(tmp_path, Line())
    assert "finished: step 3  loss/train 2\n" in capsys.readouterr().out


def test_an_interrupted_training_prints_how_to_continue(tmp_path, capsys):
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(tmp_path, Line(interrupted_at=2))
    command = "vmae-zoo fit -c 'my recipe.yaml' --data.root=x --ckpt_path last"
    assert f"stopped after step 2; to continue: {command}\n" in capsys.readouterr().out


def test_the_checkpoint_of_the_command_is_replaced():
    assert resume_arguments(["fit", "--ckpt_path=a", "--b"]) == resume_arguments(["fit", "--ckpt_path", "a", "--b"])
    assert resume_arguments(["fit", "--ckpt_path", "a", "--b"]) == ["fit", "--b", "--ckpt_path", "last"]
