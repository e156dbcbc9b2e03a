"""The online probe tells what the encoder is worth, and training does not notice it."""

import json
import shutil
import threading
from pathlib import Path

import lightning
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.quiet_trainer import quiet_trainer
from tests.two_processes import started

from vmae_zoo.callbacks import OnlineProbe
from vmae_zoo.cli.main import main
from vmae_zoo.data import ClipDataModule, storage_retry
from vmae_zoo.evaluation import compute_features
from vmae_zoo.evaluation.knn import nearest_neighbors
from vmae_zoo.methods import Classifier
from vmae_zoo.training.checkpointing import LastCheckpoint

CLIP = {"frames": 4, "stride_frames": 1}
SMALL = {"size": "tiny", "width": 24, "depth": 2, "num_heads": 2, "lr": 1e-3, "warmup_steps": 0}
RECIPE = """
model:
  class_path: VideoMAE
  init_args: {size: tiny, width: 24, depth: 2, num_heads: 2, decoder_width: 16, decoder_depth: 1, decoder_num_heads: 2,
              mask_ratio: 0.5, lr: 1.0e-3, warmup_steps: 0}
data: {size: 32, frames: 4, stride_frames: 1, global_batch: 4, workers: 0}
trainer: {accelerator: cpu, max_steps: 4, enable_progress_bar: false}
online_probe.every_n_steps: 3
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory, encode) -> Path:
    """Two classes; one training video cannot be read."""
    root = tmp_path_factory.mktemp("videos")
    for split, count in (("train", 6), ("val", 4)):
        for name, size in (("coarse", (32, 32)), ("fine", (96, 96))):
            for number in range(count):
                encode(root / split / name / f"{number}.mp4", frames=8 + number, size=size)
    (root / "train" / "fine" / "5.mp4").write_text("no video")
    return root


def train(videos, folder, *callbacks, workers=0, **data_settings):
    torch.manual_seed(0)
    model = Classifier(**SMALL, **CLIP, image_size=32, drop_path=0.3, head_dropout=0.2)
    limits = {"max_steps": 4, "limit_val_batches": 0, "use_distributed_sampler": False}
    trainer = quiet_trainer(folder, *callbacks, **limits)
    settings = {**CLIP, "size": 32, "batch_size": 4, "max_bad_share": 0.5, **data_settings}
    data = ClipDataModule(str(videos), **settings, workers=workers)
    trainer.fit(model, datamodule=data)
    return trainer, model, data


@pytest.mark.slow
def test_training_ends_with_the_same_weights_and_random_state(videos, tmp_path):
    _, plain, _ = train(videos, tmp_path)
    state = torch.get_rng_state()
    for kind in ("knn", "linear"):
        trainer, probed, _ = train(videos, tmp_path, OnlineProbe(every_n_steps=1, kind=kind))
        assert "probe/top1" in trainer.callback_metrics
        assert torch.equal(torch.get_rng_state(), state)
        for name, value in probed.state_dict().items():
            assert torch.equal(value, plain.state_dict()[name]), name
        assert all(module.training for module in probed.modules())


def test_the_number_is_that_of_k_nn_on_the_encoder(videos, tmp_path):
    trainer, model, data = train(videos, tmp_path, OnlineProbe(every_n_steps=100))
    features = [
        compute_features(model.encoder, rows, cache=tmp_path / "cache")
        for rows in (data.records, data.validation_records)
    ]
    found = nearest_neighbors(*features, classes=2)
    assert len(features[0].records) == 11
    assert trainer.callback_metrics["probe/top1"] == pytest.approx(found.metrics[found.selected].top1)


WAIT_FOR = storage_retry.wait_for


class Outage(lightning.Callback):
    """Takes the folder away just before the probe of step 3."""

    def __init__(self, root):
        self.root, self.waited = root, False

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            self.root.rename(self.root.with_name("away"))

    def wait_for(self, folder, *arguments):
        """Brings it back once it is waited for."""
        self.waited = True
        threading.Timer(0.2, lambda: self.root.with_name("away").rename(self.root)).start()
        return WAIT_FOR(folder, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreachable_folder_is_waited_for(workers, videos, tmp_path, monkeypatch):
    monkeypatch.setattr(storage_retry, "POLL_SECONDS", 0.05)
    shutil.copytree(videos, tmp_path / "set")
    whole, *_ = train(tmp_path / "set", tmp_path, OnlineProbe(every_n_steps=3), workers=workers)
    taken = Outage(tmp_path / "set")
    monkeypatch.setattr(storage_retry, "wait_for", taken.wait_for)
    waited, model, _ = train(tmp_path / "set", tmp_path, taken, OnlineProbe(every_n_steps=3), workers=workers)
    assert waited.callback_metrics["probe/top1"] == whole.callback_metrics["probe/top1"]
    assert all(module.training for module in model.modules())
    assert taken.waited


def test_after_wait_minutes_the_run_is_saved_and_ends(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(storage_retry, "POLL_SECONDS", 0.05)
    shutil.copytree(videos, tmp_path / "set")
    callbacks = Outage(tmp_path / "set"), OnlineProbe(every_n_steps=3), LastCheckpoint()
    with pytest.raises(ValueError, match=r"wait_minutes"):
        train(tmp_path / "set", tmp_path, *callbacks, wait_minutes=0.002)
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 3


def test_data_without_labels_is_not_probed(videos, tmp_path):
    probe = OnlineProbe(every_n_steps=1)
    flat = ClipDataModule(str(videos / "val" / "fine"), **CLIP, size=32, batch_size=4, workers=0)
    model = Classifier(classes=["a", "b"], **SMALL, **CLIP, image_size=32)
    model.setup = lambda stage: None
    model.training_step = lambda batch, batch_idx: model(model.normalize(batch["video"])).square().mean()
    trainer = quiet_trainer(tmp_path, probe, max_steps=1)
    with pytest.warns(UserWarning, match="online_probe is disabled"):
        trainer.fit(model, datamodule=flat)
    assert "probe/top1" not in trainer.callback_metrics


@pytest.mark.parametrize("wrong", [{"every_n_steps": -1}, {"kind": "forest"}, {"val_clips": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="online_probe"):
        OnlineProbe(**wrong)


@pytest.fixture(scope="module")
def one_process(videos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    (folder / "small.yaml").write_text(RECIPE)
    arguments = ["--data.root", str(videos), "--data.max_bad_share", "0.5", "--trainer.default_root_dir", str(folder)]
    assert main(["fit", "-c", str(folder / "small.yaml"), "--data.batch_size", "4", *arguments]) == 0
    return next((folder / "runs" / "small").iterdir())


@pytest.mark.slow
def test_one_line_of_a_recipe_is_enough(one_process):
    metrics = json.loads((one_process / "summary.json").read_text())["metrics"]
    board = EventAccumulator(str(one_process))
    board.Reload()
    logged = board.Scalars("probe/top1")
    assert [event.step for event in logged] == [3, 4]
    assert logged[-1].value == pytest.approx(metrics["probe/top1"], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_find_what_one_finds(strategy, one_process, videos, tmp_path):
    (tmp_path / "small.yaml").write_text(RECIPE)
    arguments = ["--data.root", str(videos), "--data.max_bad_share", "0.5", "--data.batch_size", "2"]
    two = ["--trainer.devices", "2", "--trainer.strategy", strategy]
    started("vmae_zoo", "fit", "-c", "small.yaml", *arguments, *two, folder=tmp_path)
    (run,) = (tmp_path / "runs" / "small").iterdir()
    metrics = [json.loads((folder / "summary.json").read_text())["metrics"] for folder in (run, one_process)]
    assert metrics[0]["probe/top1"] == metrics[1]["probe/top1"]
