"""A method and a data module in a user's own folder are trained, killed, resumed and validated by import path."""

import json
import signal

import pytest
import torch
import yaml
from tests.two_processes import started

from vmae_zoo.cli.main import main

METHOD = '''
import os, signal
import torch
from lightning import Callback
from torch import nn

from vmae_zoo.data import ClipDataModule
from vmae_zoo.masking import random_mask
from vmae_zoo.methods import MaskedMethod, Output
from vmae_zoo.methods.output import weighted_mse
from vmae_zoo.models import encoders
from vmae_zoo.models.patchify import patchify


class MyMAE(MaskedMethod):
    """Predicts the mean color of hidden cubes from their positions and the visible tokens' mean."""

    def __init__(self, frames=16, image_size=224, stride_frames=4, width=24, mask_ratio=0.75, lr=1e-3):
        super().__init__(width=width, lr=lr, warmup_steps=0)
        self.save_hyperparameters()
        self.encoder = encoders.videomae(frames, image_size, stride_frames, width=width, depth=1, num_heads=2)
        self.grid = self.encoder.grid
        self.positions = nn.Parameter(torch.zeros(self.grid.tokens, width))
        self.head = nn.Linear(width, 3)

    def sample_mask(self, batch):
        return random_mask(batch["key"], self.grid, self.hparams["mask_ratio"])

    def forward(self, video, split):
        tokens = self.encoder(video, split.visible).mean(1, keepdim=True)
        prediction = self.head(tokens + self.positions[split.predicted])
        target = patchify(video, self.grid, split.predicted).flatten(3).mean(-1)
        return Output(weighted_mse(prediction, target), prediction, target)


class MyData(ClipDataModule):
    """A CSV list with settings of its own."""

    def __init__(self, csv: str, frames: int = 4, size: int = 32, seed: int = 0):
        super().__init__(
            csv, frames=frames, stride_frames=1, size=size, batch_size=2, global_batch=2, workers=0, seed=seed
        )


class Kill(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
'''

SHORT = [
    "--trainer.accelerator=cpu",
    "--trainer.max_epochs=-1",
    "--trainer.max_steps=6",
    "--checkpoint.every_n_steps=2",
    "--pictures.every_n_steps=100",
    "--trainer.num_sanity_val_steps=0",
]
PROBE = ["--online_probe.every_n_steps=3", "--online_probe.train_clips=8", "--online_probe.val_clips=4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, encode):
    """A folder with a method, a data module, 12 clips and a CSV file that lists them."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "my_package.py").write_text(METHOD)
    rows = ["path,label,split"]
    for number in range(12):
        encode(folder / "clips" / f"{number}.mp4", frames=8, gop=4 + number % 2)
        rows.append(f"clips/{number}.mp4,{'ab'[number % 2]},{'val' if number > 7 else 'train'}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder


DATA = {
    "the packaged data module": [
        "--data.root=clips.csv",
        "--data.size=32",
        "--data.frames=4",
        "--data.stride_frames=1",
        "--data.global_batch=2",
        "--data.batch_size=2",
        "--data.workers=0",
    ],
    "a data module of one's own": ["--data=my_package.MyData", "--data.csv=clips.csv"],
}


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_it_is_trained_killed_resumed_and_validated(folder, data, tmp_path):
    command = ["--model=my_package.MyMAE", *data, *SHORT, *PROBE, f"--trainer.default_root_dir={tmp_path}"]
    killed = [*command, "--trainer.callbacks+=my_package.Kill"]
    started("vmae_zoo", "fit", *killed, folder=folder, processes=1, code=-signal.SIGKILL)
    (run,) = (tmp_path / "runs" / "mymae").iterdir()
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    started("vmae_zoo", "fit", *command, "--ckpt_path=last", folder=folder, processes=1)
    assert list((tmp_path / "runs" / "mymae").iterdir()) == [run], "resumed in its own folder"
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["state"], summary["steps"]) == ("finished", 6)
    assert any("probe" in name for name in summary["metrics"]), summary["metrics"]
    model = yaml.safe_load((run / "recipe.yaml").read_text())["model"]
    assert model["class_path"] == "my_package.MyMAE"
    output = tmp_path / "val.json"
    again = ["validate", "-c", run / "recipe.yaml", f"--json={output}", "--ckpt_path=last"]
    started("vmae_zoo", *again, folder=folder, processes=1)
    assert json.loads(output.read_text())["metrics"]["loss/val"] > 0


@pytest.mark.parametrize(
    ("option", "source", "part"),
    [
        ("--model=broken_import.MyMAE", "import not_installed\n\n\nclass MyMAE: ...\n", "not_installed"),
        ("--model=failing.MyMAE", "1 / 0\n\n\nclass MyMAE: ...\n", "ZeroDivisionError"),
        ("--model=no_method.MyMAE", "class MyMAE: ...\n", "vmae_zoo.methods.Method"),
        ("--data=no_data.MyData", "class MyData: ...\n", "VideoDataModule"),
    ],
)
def test_a_class_that_cannot_be_used_says_why(here, capsys, monkeypatch, option, source, part):
    (here / f"{option.partition('=')[2].partition('.')[0]}.py").write_text(source)
    monkeypatch.syspath_prepend(here)
    assert main(["fit", "--model=VideoMAE", option]) == 1
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1
