"""A progress bar shows the loss, and between two steps that are logged no value is read back from the device."""

from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from torch.utils.data import DataLoader

from vmae_zoo.callbacks.line_progress import LineProgress
from vmae_zoo.cli.main import main
from vmae_zoo.training.bar_metrics import show_in_bar

RECIPES = ("arvideo", "classifier", "mae", "mae_st", "mgmae", "moco_v3", "videomae", "videomae_v2", "vjepa")


class Line(L.LightningModule):
    """A line whose loss is its step."""

    def __init__(self):
        super().__init__()
        self.layer, self.shown = torch.nn.Linear(1, 1), []

    def training_step(self, batch, batch_idx):
        self.log("loss/train", float(self.global_step + 1))
        return self.layer(batch).sum()

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.shown.append(self.trainer.progress_bar_callback.get_metrics(self.trainer, self).get("loss/train"))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize(
    ("bar", "device", "shown"),
    [
        (TQDMProgressBar, "cpu", [1, 2, 3, 4, 5, 6]),
        (TQDMProgressBar, "cuda", [None, None, 3, 3, 3, 6]),
        (LineProgress, "cuda", [1, 2, 3, 4, 5, 6]),  # it reads when it prints, at most every ten seconds
    ],
)
def test_a_bar_shows_the_loss_on_a_gpu_as_often_as_it_is_logged(tmp_path, monkeypatch, bar, device, shown):
    settings = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "log_every_n_steps": 3}
    trainer = L.Trainer(default_root_dir=tmp_path, accelerator="cpu", callbacks=[bar()], max_steps=6, **settings)
    with monkeypatch.context() as patched:
        patched.setattr(type(trainer.strategy), "root_device", torch.device(device))
        show_in_bar(trainer)
    module = Line()
    trainer.fit(module, DataLoader(torch.ones(8, 1)))
    assert module.shown == shown


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_with_its_default_callbacks_reads_nothing_back_between_logged_steps(recipe, tmp_path):
    options = ["--data.root", "synthetic:demo_small", "--data.batch_size", "4", "--data.global_batch", "4"]
    options += ["--data.workers", "1", "--data.memory_mb", "0", "--trainer.accelerator", "cpu"]  # decoding elsewhere
    options += ["--trainer.max_steps", "6", "--trainer.max_epochs", "-1", "--trainer.limit_val_batches", "0"]
    options += ["--ema.decay", "0.9", "--trainer.callbacks+=tests.training.host_watch.HostWatch"]
    assert main(["fit", "-c", f"recipes/{recipe}.yaml", *options, "--trainer.default_root_dir", str(tmp_path)]) == 0
    (waits,) = tmp_path.glob("runs/*/*/waits.txt")
    assert waits.read_text() == ""


def test_every_small_recipe_is_watched():
    assert set(RECIPES) == {path.stem for path in Path("recipes").glob("*.yaml")}
