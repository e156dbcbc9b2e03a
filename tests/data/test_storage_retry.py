"""A data folder that becomes unavailable during training: the run waits and continues, or saves and stops."""

import shutil
import threading

import lightning as L
import pytest
import torch

from vmae_zoo.data import ClipDataModule, ClipDataset, ClipRecord, RunControl, storage_retry
from vmae_zoo.data.storage_retry import is_unavailable, required_dirs_of
from vmae_zoo.datasets.clip_table import ClipTable
from vmae_zoo.training.checkpointing import LastCheckpoint

SMALL = {"frames": 2, "stride_frames": 1, "size": 16, "batch_size": 2, "global_batch": 4}


class Diary(L.LightningModule):
    """Records its batches."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.clips, self.validated = [], []

    def training_step(self, batch, batch_idx):
        self.clips += zip(batch["key"].tolist(), batch["video"].sum((1, 2, 3, 4)).tolist(), strict=True)
        return self.layer(batch["video"].float().mean().view(1)).sum()

    def validation_step(self, batch, batch_idx):
        self.validated += batch["key"].tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)


class Outage(L.Callback):
    """Takes the folder away after a step, and brings it back.

    Args:
        root: the folder.
        step: after which.
        seconds: until it is back; None: it stays away.
        mount_point: whether an empty folder is left.
        hook: where it happens.
    """

    def __init__(self, root, step=2, seconds=0.5, mount_point=False, hook="on_train_batch_end"):
        self.root, self.away, self.step, self.seconds = root, root.with_name("away"), step, seconds
        self.mount_point, self.back = mount_point, None
        setattr(self, hook, self._happen)

    def _happen(self, trainer, *_):
        if trainer.global_step == self.step and self.back is None:
            self.root.rename(self.away)
            if self.mount_point:
                self.root.mkdir()
            self.back = threading.Timer(self.seconds or 0, self.restore)
            if self.seconds is not None:
                self.back.start()

    def restore(self):
        if self.root.exists():
            self.root.rmdir()
        self.away.rename(self.root)


@pytest.fixture
def root(small_set, tmp_path, monkeypatch):
    monkeypatch.setattr(storage_retry, "POLL_SECONDS", 0.05)
    shutil.copytree(small_set, tmp_path / "set")
    return tmp_path / "set"


def fit(root, tmp_path, *callbacks, checkpoint=None, workers=0, **settings):
    module, data = Diary(), ClipDataModule(str(root), workers=workers, **{**SMALL, **settings})
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    callbacks = [LastCheckpoint(), *callbacks]
    trainer = L.Trainer(accelerator="cpu", max_epochs=2, default_root_dir=tmp_path, callbacks=callbacks, **quiet)
    trainer.fit(module, data, ckpt_path=checkpoint)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mount_point", [False, True])
def test_a_run_waits_and_continues_with_the_same_clips(root, tmp_path, workers, mount_point, capfd):
    whole = fit(root, tmp_path / "whole")
    outage = Outage(root, mount_point=mount_point)
    module = fit(root, tmp_path / "run", outage, workers=workers)
    assert outage.back.finished.is_set()
    assert module.clips == whole.clips
    assert module.validated == whole.validated
    assert not (tmp_path / "run/bad_samples.jsonl").exists()
    lines = [line for line in capfd.readouterr().err.splitlines() if str(root) in line]
    assert len(lines) == 2
    assert "up to 60 minutes" in lines[0]


@pytest.mark.slow
def test_a_validation_waits_too(root, tmp_path):
    whole = fit(root, tmp_path / "whole")
    module = fit(root, tmp_path / "run", Outage(root, 5, hook="on_validation_start"))
    assert module.validated == whole.validated


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_after_wait_minutes_it_saves_and_stops_and_can_be_resumed(root, tmp_path, workers):
    whole = fit(root, tmp_path / "whole")
    outage = Outage(root, step=3, seconds=None)
    with pytest.raises(ValueError, match=r"/set .*data.wait_minutes = 0.005") as caught:
        fit(root, tmp_path / "run", outage, workers=workers, wait_minutes=0.005)
    assert "\n" not in str(caught.value)
    outage.restore()
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    saved = torch.load(checkpoint, weights_only=True)["global_step"]
    assert saved >= 3
    assert fit(root, tmp_path / "run", checkpoint=checkpoint).clips == whole.clips[4 * saved :]


def test_a_stop_signal_ends_the_wait(root, tmp_path):
    class Stop(L.Callback, RunControl):
        saved = 0

        def save_now(self, trainer):
            self.saved += 1

        def stop_if_signaled(self, trainer):
            raise SystemExit(143)

    stop = Stop()
    with pytest.raises(SystemExit):
        fit(root, tmp_path / "run", Outage(root, seconds=None), stop)
    assert stop.saved


def test_too_many_bad_videos_stop_a_run_that_is_saved(root, tmp_path):
    class EmptyFiles(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                for path in sorted(root.rglob("*.mp4"))[:20]:
                    path.write_bytes(b"")

    with pytest.warns(UserWarning, match="replaced"), pytest.raises(ValueError, match="cannot be read"):
        fit(root, tmp_path / "run", EmptyFiles())
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] >= 2


def test_one_missing_file_is_not_an_outage(root, tmp_path):
    next(root.rglob("train/*/*.mp4")).unlink()
    data = ClipDataModule(str(root), workers=0, **SMALL)
    rows = [*data.records, ClipRecord("x", root / "train/a/gone.mp4")]
    assert ClipDataset(rows, data.clip, required_dirs=data.required_dirs)[len(rows) - 1, 0][0]["bad"]


def test_required_dirs_are_the_root_and_the_common_folder_of_other_videos(tmp_path):
    (tmp_path / "far/a").mkdir(parents=True)
    (tmp_path / "far/b").mkdir()
    (tmp_path / "list.csv").write_text("")
    below = ClipRecord("1", str(tmp_path / "set/1.mp4"))
    far = [ClipRecord("2", str(tmp_path / "far/a/2.mp4")), ClipRecord("3", str(tmp_path / "far/b/3.mp4"))]
    (tmp_path / "set").mkdir()
    assert required_dirs_of(tmp_path / "set", ClipTable.of([below])) == (tmp_path / "set",)
    assert required_dirs_of(tmp_path / "set", ClipTable.of([below, *far])) == (tmp_path / "set", tmp_path / "far")
    assert required_dirs_of(tmp_path / "list.csv", ClipTable.of(far)) == (tmp_path / "far",)
    assert is_unavailable(tmp_path / "nowhere")
    assert is_unavailable(tmp_path / "set")
    assert not is_unavailable(tmp_path)
