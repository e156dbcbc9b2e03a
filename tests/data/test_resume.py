"""A run that is stopped and started again sees what an uninterrupted one sees (Lightning's Trainer, real files)."""

import shutil

import lightning as L
import pytest
import torch

from vmae_zoo.data import ClipDataModule


class KilledError(Exception):
    pass


class Diary(L.LightningModule):
    """Records the keys of every batch."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.keys = []
        self.logger_steps = []

    def training_step(self, batch, batch_idx):
        self.keys.append((self.current_epoch, batch["key"].tolist()))
        self.logger_steps.append(self.trainer.fit_loop.epoch_loop._batches_that_stepped)
        return self.layer(batch["video"].float().mean().view(1)).sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)


class Kill(L.Callback):
    """Saves a checkpoint in one hook, once, and raises."""

    def __init__(self, hook, when, path):
        def die(trainer, module, *_):
            if when(trainer):
                trainer.save_checkpoint(path)
                raise KilledError

        setattr(self, hook, die)


def run(root, kill=None, checkpoint=None, epochs=3, max_steps=-1, workers=0, **data):
    settings = {"frames": 2, "stride_frames": 1, "size": 16, "batch_size": 2, "global_batch": 4, "crop": "centre"}
    module = Diary()
    trainer = L.Trainer(
        max_epochs=epochs,
        max_steps=max_steps,
        accelerator="cpu",
        logger=False,
        callbacks=[kill] if kill else [],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    clips = ClipDataModule(root=str(root), workers=workers, **{**settings, **data})
    try:
        trainer.fit(module, clips, ckpt_path=checkpoint)
    except KilledError:
        assert kill is not None
    return trainer, module


@pytest.fixture(scope="module")
def whole(small_set):
    """22 clips in steps of 4 = 2 x 2: 5 steps, 10 micro-batches an epoch."""
    _, module = run(small_set)
    assert [epoch for epoch, _ in module.keys] == [0] * 10 + [1] * 10 + [2] * 10
    return module


MOMENTS = {
    "after a step": ("on_train_batch_end", lambda t: t.global_step == 3, 6),
    "after a step of the second epoch": ("on_train_batch_end", lambda t: t.global_step == 7, 14),
    "inside a step": ("on_train_batch_end", lambda t: t.fit_loop.total_batch_idx == 12, 12),
    "after the last step of an epoch": ("on_train_batch_end", lambda t: t.global_step == 5, 10),
    "at the end of an epoch": ("on_train_epoch_end", lambda t: t.current_epoch == 1, 20),
    "at the start of an epoch": ("on_train_epoch_start", lambda t: t.current_epoch == 1, 10),
    "after a validation": ("on_validation_end", lambda t: t.global_step == 5, 10),
    "during a validation": ("on_validation_batch_end", lambda t: t.global_step == 5, 10),
    "before a step": ("on_train_batch_start", lambda t: t.global_step == 3, 6),
}


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{"epochs": 3}, {"epochs": -1, "max_steps": 15}], ids=["epochs", "steps"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed_sees_what_an_uninterrupted_run_sees(small_set, whole, tmp_path, moment, limit):
    hook, when, done = MOMENTS[moment]
    _, before = run(small_set, Kill(hook, when, tmp_path / "c.ckpt"), **limit)
    trainer, after = run(small_set, checkpoint=tmp_path / "c.ckpt", **limit)
    assert before.keys[:done] + after.keys == whole.keys
    assert after.logger_steps == whole.logger_steps[done:]
    assert (trainer.global_step, trainer.current_epoch) == (15, 3)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 5, 7])
@pytest.mark.parametrize("limit", [{"epochs": 3}, {"epochs": -1, "max_steps": 15}], ids=["epochs", "steps"])
def test_a_run_that_max_steps_ended_continues_inside_the_epoch(small_set, whole, tmp_path, stop, limit):
    trainer, before = run(small_set, epochs=-1, max_steps=stop)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    trainer, after = run(small_set, checkpoint=tmp_path / "end.ckpt", **limit)
    assert before.keys + after.keys == whole.keys
    assert (trainer.global_step, trainer.current_epoch) == (15, 3)


def test_resumes_a_resumed_run(small_set, whole, tmp_path):
    keys = []
    for step, checkpoint in ((2, None), (4, tmp_path / "2.ckpt"), (8, tmp_path / "4.ckpt")):
        kill = Kill("on_train_batch_end", lambda t, step=step: t.global_step == step, tmp_path / f"{step}.ckpt")
        keys += run(small_set, kill, checkpoint)[1].keys
    assert keys + run(small_set, checkpoint=tmp_path / "8.ckpt")[1].keys == whole.keys


@pytest.mark.slow
def test_workers_change_nothing(small_set, whole, tmp_path):
    kill = Kill("on_train_batch_end", lambda t: t.global_step == 3, tmp_path / "c.ckpt")
    _, before = run(small_set, kill, workers=2)
    _, after = run(small_set, checkpoint=tmp_path / "c.ckpt", workers=4)
    assert before.keys + after.keys == whole.keys


@pytest.mark.parametrize("batch_size", [1, 4])
def test_another_batch_size_keeps_the_position(small_set, whole, tmp_path, batch_size):
    def by_step(keys):
        clips = [key for _, batch in keys for key in batch]
        return [clips[i : i + 4] for i in range(0, len(clips), 4)]

    kill = Kill("on_train_batch_end", lambda t: t.global_step == 3, tmp_path / "c.ckpt")
    _, before = run(small_set, kill)
    trainer, after = run(small_set, checkpoint=tmp_path / "c.ckpt", batch_size=batch_size)
    assert by_step(before.keys + after.keys) == by_step(whole.keys)
    assert trainer.global_step == 15


def test_another_global_batch_sees_no_clip_twice_in_an_epoch(small_set, tmp_path):
    kill = Kill("on_train_batch_end", lambda t: t.global_step == 3, tmp_path / "c.ckpt")
    _, before = run(small_set, kill)
    trainer, after = run(small_set, checkpoint=tmp_path / "c.ckpt", batch_size=2, global_batch=2)
    first = [key for epoch, keys in before.keys + after.keys if epoch == 0 for key in keys]
    assert len(first) == len(set(first)) == 22
    assert trainer.current_epoch == 3


def test_another_seed_warns(small_set, tmp_path):
    kill = Kill("on_train_batch_end", lambda t: t.global_step == 3, tmp_path / "c.ckpt")
    run(small_set, kill)
    with pytest.warns(UserWarning, match="another order"):
        run(small_set, checkpoint=tmp_path / "c.ckpt", seed=1)


def test_other_clips_of_the_same_number_warn(small_set, tmp_path):
    kill = Kill("on_train_batch_end", lambda t: t.global_step == 3, tmp_path / "c.ckpt")
    run(small_set, kill)
    shutil.copytree(small_set, tmp_path / "set")
    first = next((tmp_path / "set").glob("train/*/*.mp4"))
    first.rename(first.with_name("renamed.mp4"))
    with pytest.warns(UserWarning, match="fingerprint .* another order"):
        run(tmp_path / "set", checkpoint=tmp_path / "c.ckpt")


def test_a_checkpoint_has_the_documented_keys(small_set, tmp_path):
    kill = Kill("on_train_batch_end", lambda t: t.global_step == 3, tmp_path / "c.ckpt")
    run(small_set, kill)
    position = torch.load(tmp_path / "c.ckpt", weights_only=True)["ClipDataModule"]
    assert len(position.pop("clips")) == 12, "the fingerprint of the training clips"
    assert position == {"epoch": 0, "seen": 12, "rows": 22, "seed": 0, "draw": "all 22 x 1"}
