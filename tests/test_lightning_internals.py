"""Each function of `vmae_zoo.lightning_internals` does what it promises with the installed Lightning."""

import inspect
import subprocess
import sys

import lightning
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.environments import SLURMEnvironment
from torch.utils.data import DataLoader

from vmae_zoo import lightning_internals as internals

QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


def trainer(**settings):
    return Trainer(accelerator="cpu", **{**QUIET, **settings})


class Base(lightning.LightningModule):
    def __init__(self, a, b=2):
        super().__init__()
        self.arguments = internals.constructor_arguments(inspect.currentframe())


class Derived(Base):
    def __init__(self, c, **base):
        super().__init__(a=1, **base)


def test_arguments_of_running_constructors_are_collected():
    assert Derived(3, b=4).arguments == [{"a": 1, "b": 4}, {"c": 3, "b": 4}]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("_get", ["config", "key", "default"]),
        ("_parse_ckpt_path", []),
        ("_parser", ["subcommand"]),
        ("_prepare_subcommand_kwargs", ["subcommand"]),
        ("_run_subcommand", ["subcommand"]),
        ("_set_seed", []),
    ],
)
def test_methods_of_the_command_line_that_are_overridden_or_called_are_there(name, arguments):
    assert list(inspect.signature(getattr(LightningCLI, name)).parameters)[1:] == arguments


def test_samplers_are_kept():
    run = trainer(strategy="ddp", devices=2)
    loader = DataLoader(torch.zeros(8, 32))
    assert run._data_connector._requires_distributed_sampler(loader)
    internals.keep_own_samplers(run)
    assert not run._data_connector._requires_distributed_sampler(loader)


def test_default_root_dir_is_set(tmp_path):
    run = trainer(default_root_dir=tmp_path / "a")
    internals.set_default_root_dir(run, str(tmp_path / "b"))
    assert run.default_root_dir == str(tmp_path / "b")


def test_no_process_asks_the_others_about_sigterm(monkeypatch):
    def broadcast(loop):
        raise AssertionError("the other processes were asked")

    monkeypatch.setattr(_TrainingEpochLoop, "_broadcast_sigterm_tensor", broadcast)
    assert "self._broadcast_sigterm_tensor()" in inspect.getsource(_TrainingEpochLoop.advance)
    run = trainer()
    internals.skip_sigterm_broadcast(run)
    run.fit_loop.epoch_loop._broadcast_sigterm_tensor()


@pytest.mark.parametrize("requeue", [True, False])
def test_a_slurm_job_that_requeues_is_recognized(monkeypatch, requeue):
    assert not internals.requeues_under_slurm(trainer())
    for name, value in {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": "1"}.items():
        monkeypatch.setenv(name, value)
    assert internals.requeues_under_slurm(trainer(plugins=[SLURMEnvironment(auto_requeue=requeue)])) is requeue


def test_a_lost_process_is_reported_before_the_others_are_killed(monkeypatch):
    done = []
    monkeypatch.setattr(internals, "_TERMINATE_ALL", lambda observer: done.append("terminated"))
    monkeypatch.setattr(internals._OBSERVER, "_terminate_all", None)
    internals.report_lost_process(lambda pid, code: done.append((pid, code)))
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    ended.wait()
    assert internals._OBSERVER(0, [ended])._run()
    assert done == [(ended.pid, 3), "terminated"]


class Falling(BoringModel):
    def training_step(self, batch, batch_idx):
        self.log("falls", -float(self.global_step))
        return super().training_step(batch, batch_idx)


def test_saving_is_wrapped(tmp_path):
    calls = []

    def wrap(name):
        def wrapper(function):
            def wrapped(*arguments):
                calls.append(name)
                return function(*arguments)

            return wrapped

        return wrapper

    checkpoint = ModelCheckpoint(tmp_path, monitor="falls", every_n_train_steps=1, save_last=True)
    internals.wrap_saving(checkpoint, wrap("save"), wrap("choose"))
    run = trainer(max_steps=2, limit_val_batches=0, enable_checkpointing=True, callbacks=[checkpoint])
    run.fit(Falling())
    assert calls == ["choose", "save", "choose", "save"] * 2, "the best and the last one, of each step"


class Positions(Callback):
    """Notes where the trainer's counters stand."""

    def __init__(self):
        self.seen = []

    def note(self, trainer, *_):
        self.seen.append((internals.epochs_processed(trainer), *internals.epoch_state(trainer)))

    on_train_batch_end = on_train_end = note


def test_epochs_and_micro_batches_are_counted():
    positions = Positions()
    data = DataLoader(torch.randn(2, 32))
    trainer(max_epochs=2, limit_val_batches=0, callbacks=[positions]).fit(BoringModel(), data)
    assert positions.seen == [
        (0, 0, True, False, 1),
        (0, 0, True, False, 2),
        (1, 1, True, False, 1),
        (1, 1, True, False, 2),
        (2, 2, False, True, 2),
    ]


@pytest.mark.filterwarnings("ignore:.*GradScaler")
def test_a_loss_scaler_is_recognized():
    assert internals.scales_loss(trainer(plugins=[MixedPrecision("16-mixed", "cuda")]))
    assert not internals.scales_loss(trainer(precision="bf16-mixed"))
    assert not internals.scales_loss(trainer())


class Moved(lightning.LightningDataModule):
    """Four batches an epoch, from a position of which training starts."""

    def __init__(self, epoch, micro_batches):
        super().__init__()
        self.position = epoch, micro_batches

    def train_dataloader(self):
        internals.set_position(self.trainer, *self.position)
        return DataLoader(torch.randn(4, 32))


class Batches(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.seen.append((trainer.current_epoch, batch_idx))


@pytest.mark.parametrize(("epoch", "micro_batches", "first"), [(0, 0, (0, 0)), (1, 0, (1, 0)), (1, 3, (1, 3))])
def test_training_starts_at_a_position(epoch, micro_batches, first):
    batches = Batches()
    run = trainer(max_epochs=2, limit_val_batches=0, callbacks=[batches])
    run.fit(BoringModel(), datamodule=Moved(epoch, micro_batches))
    assert batches.seen[0] == first
    assert batches.seen[-1] == (1, 3)
    assert run.current_epoch == 2


def test_a_writer_is_found_and_dropped(tmp_path):
    logger = TensorBoardLogger(tmp_path, "", "")
    assert internals.open_writer(logger) is None
    logger.log_metrics({"a": 1.0}, 0)
    writer = internals.open_writer(logger)
    assert writer is logger.experiment
    internals.drop_writer(logger)
    assert internals.open_writer(logger) is None
    assert logger.experiment is not writer


@pytest.mark.parametrize("setting", [True, 2, False])
def test_a_fast_dev_run_is_a_trial_run(setting, tmp_path):
    trainer = lightning.Trainer(fast_dev_run=setting, logger=False, accelerator="cpu", default_root_dir=tmp_path)
    assert internals.is_trial_run(trainer) == bool(setting)
