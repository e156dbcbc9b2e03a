"""Checkpoints are complete at any moment, written on schedule, and a full disk does not end the run."""

import errno
import os
import resource
import signal
import stat

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader

from vmae_zoo.training import checkpointing, signals
from vmae_zoo.training.checkpoint_io import AtomicCheckpointIO, NotSavedError, read_checkpoint
from vmae_zoo.training.checkpointing import LastCheckpoint, StepFilter
from vmae_zoo.training.signals import AsyncMaxReduce, Signals, raise_for_signal, requeue


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        self.log("falls", -float(self.global_step))
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


def train(folder, *callbacks, steps=6, **settings):
    trainer = quiet_trainer(folder, *callbacks, max_steps=steps, plugins=[AtomicCheckpointIO()], **settings)
    trainer.fit(Line(), DataLoader(torch.randn(64, 4), batch_size=4))
    return trainer


def step_of(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"]


class FullDisk:
    """Makes `os.fsync` fail with ENOSPC for some saves, counted from 0."""

    def __init__(self, monkeypatch, *saves):
        self.saves, self.count = saves, 0
        real = os.fsync

        def fsync(number):
            if stat.S_ISREG(os.fstat(number).st_mode):
                self.count += 1
                if self.count - 1 in saves:
                    raise OSError(errno.ENOSPC, "No space left on device")
            real(number)

        monkeypatch.setattr(os, "fsync", fsync)


def test_a_file_that_does_not_fit_leaves_the_old_checkpoint(tmp_path):
    target = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(4)}, target)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))  # bytes of a file; more is an OSError, EFBIG
    try:
        with pytest.raises(NotSavedError, match=r"last\.ckpt .*4\.0 MiB"):
            AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(1 << 20)}, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.equal(torch.load(target, weights_only=True)["a"], torch.zeros(4))
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"], "the temporary file is removed"


def test_training_continues_on_a_full_disk_and_saves_later(tmp_path, monkeypatch):
    FullDisk(monkeypatch, 1)
    last = LastCheckpoint(every_n_steps=2)
    with pytest.warns(UserWarning, match=r"step 4 .*last\.ckpt holds step 2"):
        train(tmp_path, last)
    assert step_of(tmp_path) == 6
    assert not last.failed


@pytest.mark.filterwarnings("ignore:.*was not saved")
def test_a_run_whose_end_cannot_be_saved_fails(tmp_path, monkeypatch):
    FullDisk(monkeypatch, 1, 2, 3)
    with pytest.raises(NotSavedError, match=r"last\.ckpt holds step 2"):
        train(tmp_path, LastCheckpoint(every_n_steps=2))
    assert step_of(tmp_path) == 2


def test_other_errors_of_saving_are_raised(tmp_path):
    with pytest.raises(AttributeError, match="pickle"):
        AtomicCheckpointIO().save_checkpoint({"a": lambda: 0}, tmp_path / "last.ckpt")


def test_it_saves_by_time_if_steps_are_slow(tmp_path, monkeypatch):
    clock = iter(range(0, 10**6, 20))  # seconds
    monkeypatch.setattr(checkpointing.time, "monotonic", lambda: next(clock))
    saved = []

    class Note(lightning.Callback):
        def on_save_checkpoint(self, trainer, module, checkpoint):
            saved.append(trainer.global_step)

    train(tmp_path, LastCheckpoint(every_n_steps=1000, every_minutes=1), Note(), steps=12)
    assert 2 <= len(saved) <= 4
    assert saved[-1] == 12


class SkipSteps(lightning.Callback, StepFilter):
    """Reports some steps as skipped, as `SkipNonFiniteSteps` does."""

    def __init__(self, *steps):
        self.steps = steps

    def last_step_skipped(self, trainer):
        return trainer.global_step in self.steps


def test_nothing_is_saved_while_steps_are_skipped(tmp_path):
    saved = []

    class Note(lightning.Callback):
        def on_save_checkpoint(self, trainer, module, checkpoint):
            saved.append(trainer.global_step)

    train(tmp_path, LastCheckpoint(every_n_steps=2), SkipSteps(2, 3), Note(), steps=6)
    assert saved == [4, 6]
    saved.clear()
    train(tmp_path / "late", LastCheckpoint(every_n_steps=3), SkipSteps(2, 3), Note(), steps=5)
    assert saved == [4, 5], "at the first step that is not skipped"


@pytest.mark.parametrize(("at", "ended_at"), [(1, 1), (2, 4)])
def test_a_signal_waits_while_steps_are_skipped(tmp_path, at, ended_at):
    class Kill(lightning.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == at:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as end:
        train(tmp_path, LastCheckpoint(), SkipSteps(2, 3), Kill())
    assert end.value.code == 143
    assert step_of(tmp_path) == ended_at


def test_save_now_does_nothing_after_a_skipped_step(tmp_path):
    class SaveAndFail(lightning.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step in (1, 3):
                keep.save_now(trainer)
            if trainer.global_step == 3:
                raise KeyError

    keep = LastCheckpoint(every_n_steps=1000)
    with pytest.raises(KeyError):
        train(tmp_path, keep, SkipSteps(2, 3), SaveAndFail())
    assert step_of(tmp_path) == 1


def test_the_end_of_training_is_saved_after_a_skipped_step_too(tmp_path):
    train(tmp_path, LastCheckpoint(every_n_steps=2), SkipSteps(5, 6))
    assert step_of(tmp_path) == 6


def test_the_best_checkpoint_stays_if_a_better_one_does_not_fit(tmp_path, monkeypatch):
    FullDisk(monkeypatch, 1)
    best = ModelCheckpoint(monitor="falls", every_n_train_steps=2, filename="{step}")
    with pytest.warns(UserWarning, match=r"step=4\.ckpt .*step=2\.ckpt"):
        train(tmp_path, LastCheckpoint(), best, steps=5)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["last.ckpt", "step=2.ckpt"]
    assert best.best_model_path.endswith("step=2.ckpt")
    train(tmp_path / "later", LastCheckpoint(), best := ModelCheckpoint(monitor="falls", every_n_train_steps=2))
    assert best.best_model_score == -5
    assert len(list((tmp_path / "later/checkpoints").iterdir())) == 2, "earlier ones are removed"


def test_a_model_checkpoint_works_beside_it(tmp_path):
    train(tmp_path, LastCheckpoint(), ModelCheckpoint(every_n_train_steps=4, filename="other"))
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"last.ckpt", "other.ckpt"}


@pytest.mark.parametrize("settings", [{"every_n_steps": 0}, {"every_minutes": 0}, {"keep_every_n_epochs": 0}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r"checkpoint\."):
        LastCheckpoint(**settings)


def test_a_single_process_gets_its_own_values_at_once():
    reduce_max = AsyncMaxReduce(1)
    assert reduce_max(15, 0) == [15, 0]


def test_ignored_signals_and_foreign_handlers_of_sigusr1_stay(monkeypatch):
    def of_a_scheduler(number, frame):
        pass

    before = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
    }
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        signal.signal(signal.SIGUSR1, of_a_scheduler)
        Signals().install()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGUSR1) is of_a_scheduler
        assert signal.getsignal(signal.SIGTERM) not in (before[signal.SIGTERM], signal.SIG_DFL)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_slurm_job_is_requeued(monkeypatch, tmp_path):
    calls = tmp_path / "calls"
    fake = tmp_path / "scontrol"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "71")
    requeue()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "70")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    requeue()
    assert calls.read_text().splitlines() == ["requeue 71", "requeue 70_3"]


def test_a_job_that_cannot_be_requeued_is_a_warning(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "71")
    monkeypatch.setenv("PATH", "")
    with pytest.warns(UserWarning, match="job 71"):
        requeue()


def test_sigusr1_under_slurm_requeues_and_ends(monkeypatch):
    from types import SimpleNamespace

    from lightning.fabric.plugins.environments import SLURMEnvironment

    requeued = []
    monkeypatch.setattr(signals, "requeue", lambda: requeued.append(True))
    for environment, queued in (
        (SLURMEnvironment(), True),
        (SLURMEnvironment(auto_requeue=False), False),
        (None, False),
    ):
        requeued.clear()
        connector = SimpleNamespace(cluster_environment=environment)
        with pytest.raises(SystemExit) as end:
            raise_for_signal(SimpleNamespace(_accelerator_connector=connector, is_global_zero=True), signal.SIGUSR1)
        assert end.value.code == 128 + signal.SIGUSR1
        assert bool(requeued) is queued


def test_a_checkpoint_with_any_flipped_bit_is_refused_or_reads_as_it_was_saved(tmp_path):
    file, weights = tmp_path / "last.ckpt", torch.arange(40.0).view(5, 8)
    state = {"state": {0: {"exp_avg": weights / 3}}, "param_groups": [{"lr": 0.1}]}
    saved = {"global_step": 8, "state_dict": {"layer.weight": weights}, "optimizer_states": [state], "name": "abc"}
    torch.save(saved, file)
    content = file.read_bytes()
    refused = 0
    for position in range(0, len(content), 15):  # headers, pickled bytes and tensors
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        try:
            found = read_checkpoint(file)
        except ValueError:
            refused += 1
        else:
            assert repr(found) == repr(saved), position
    assert refused > len(content) / 15 / 3
