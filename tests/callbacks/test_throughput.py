"""Throughput equals that of a given clock; only waiting for training batches counts as waiting."""

import lightning
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader, Dataset

from vmae_zoo.callbacks import throughput
from vmae_zoo.callbacks.throughput import Throughput
from vmae_zoo.training.checkpointing import LastCheckpoint


class Clock:
    """A clock that is advanced by the test."""

    def __init__(self, monkeypatch):
        self.seconds = 0.0
        monkeypatch.setattr(throughput.time, "perf_counter", lambda: self.seconds)

    def wait(self, seconds):
        self.seconds += seconds


class Clips(Dataset):
    """Batches of eight clips that take time to load."""

    def __init__(self, clock, count, seconds):
        self.clock, self.count, self.seconds = clock, count, seconds

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.clock.wait(self.seconds)
        return {"video": torch.full((8, 2), 1.0), "key": torch.arange(8)}


class Slow(lightning.LightningModule):
    def __init__(self, clock, seconds, validation=0.0):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.clock, self.seconds, self.validation = clock, seconds, validation

    def training_step(self, batch, batch_idx):
        self.clock.wait(self.seconds)
        return self.layer(batch["video"]).mean()

    def validation_step(self, batch, batch_idx):
        self.clock.wait(self.validation)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Logged(CSVLogger):
    def __init__(self, folder):
        super().__init__(folder)
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append({"step": step, **metrics})


def train(folder, clock, callback, data, module, *more, val=None, **settings):
    logger = Logged(folder)
    trainer = quiet_trainer(
        folder,
        callback,
        *more,
        logger=logger,
        log_every_n_steps=5,
        num_sanity_val_steps=0,
        **{"max_epochs": 1, **settings},
    )
    loader = DataLoader(data, batch_size=None)
    trainer.fit(module, loader, None if val is None else DataLoader(val, batch_size=None))
    return trainer, [row for row in logger.rows if "throughput/clips_per_s" in row]


def test_speed_waiting_and_time_left_follow_the_clock(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    trainer, rows = train(tmp_path, clock, Throughput(), Clips(clock, 30, 0.1), Slow(clock, 0.3), max_steps=25)
    assert [row["step"] + 1 for row in rows] == [10, 15, 20, 25]
    for row in rows:
        assert row["throughput/clips_per_s"] == pytest.approx(8 / 0.4)
        assert row["throughput/step_ms"] == pytest.approx(400)
        assert row["throughput/data_wait"] == pytest.approx(0.25)
        assert row["throughput/clips"] == 8 * (row["step"] + 1)
        assert row["throughput/hours_left"] == pytest.approx((24 - row["step"]) * 0.4 / 3600)
        assert row["lr"] == pytest.approx(1 / (row["step"] + 1))  # that of the step, not of the next one
    assert "throughput/mfu" not in rows[0]
    assert trainer.callback_metrics["clips/s"] == pytest.approx(20)
    assert trainer.callback_metrics["data"] == pytest.approx(0.25)


def test_validation_and_checkpoints_are_not_waiting_for_data(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    save = LastCheckpoint.on_train_batch_end

    def slow_save(self, *args, **kwargs):
        save(self, *args, **kwargs)
        clock.wait(5.0)

    monkeypatch.setattr(LastCheckpoint, "on_train_batch_end", slow_save)
    _, rows = train(
        tmp_path,
        clock,
        Throughput(warmup_steps=1),
        Clips(clock, 20, 0.1),
        Slow(clock, 0.3, validation=7.0),
        LastCheckpoint(every_n_steps=1),
        val=Clips(clock, 2, 0.0),
        val_check_interval=2,
    )
    for row in rows:
        assert row["throughput/data_wait"] < 0.02
        assert row["throughput/step_ms"] > 5000  # but the time did pass


def test_warmup_steps_are_not_measured(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    module = Slow(clock, 0.2)
    step = module.training_step

    def compiling(batch, batch_idx):
        clock.wait(60 if batch_idx < 3 else 0)
        return step(batch, batch_idx)

    module.training_step = compiling
    _, rows = train(tmp_path, clock, Throughput(warmup_steps=3), Clips(clock, 10, 0.0), module)
    assert [row["throughput/step_ms"] for row in rows] == pytest.approx([200, 200])


def test_accumulated_batches_make_one_step(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    _, rows = train(tmp_path, clock, Throughput(1), Clips(clock, 40, 0.1), Slow(clock, 0.3), accumulate_grad_batches=4)
    assert [row["step"] + 1 for row in rows] == [5, 10]
    assert rows[1]["throughput/step_ms"] == pytest.approx(1600)
    assert rows[1]["throughput/clips_per_s"] == pytest.approx(20)
    assert rows[1]["throughput/clips"] == 320


def test_the_number_of_clips_continues_in_a_resumed_run(tmp_path, monkeypatch):
    clock = Clock(monkeypatch)
    first, second = Throughput(), Throughput()
    train(tmp_path / "a", clock, first, Clips(clock, 3, 0.1), Slow(clock, 0.1))
    second.load_state_dict(first.state_dict())
    train(tmp_path / "b", clock, second, Clips(clock, 4, 0.1), Slow(clock, 0.1))
    assert second.clips == 7 * 8


@pytest.mark.parametrize(("seconds", "hints"), [(0.3, 1), (0.01, 0)])
def test_a_hint_is_printed_once_if_the_device_waits(tmp_path, monkeypatch, seconds, hints):
    clock = Clock(monkeypatch)
    lines = []
    monkeypatch.setattr(throughput, "rank_zero_info", lines.append)
    train(tmp_path, clock, Throughput(), Clips(clock, 60, seconds), Slow(clock, 0.3))
    assert len(lines) == hints
    assert all("50 %" in line and "data.workers (now 0)" in line for line in lines)
