"""A run leaves its checkpoint, recipe and summary in one folder, says where, and goes on there."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
import yaml

from vmae_zoo.cli import run_folders


def steps_of(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


def only_run(here, recipe="toy"):
    (folder,) = (here / "runs" / recipe).iterdir()
    return folder


@pytest.mark.slow
def test_a_run_leaves_everything_in_the_folder_that_the_last_line_names(vmae, here, capsys):
    assert vmae("fit", "-c", "toy.yaml", "--checkpoint.every_n_steps", "3") == 0
    folder = only_run(here)
    assert capsys.readouterr().out.splitlines()[-1] == str(folder)
    assert steps_of(folder) == 8, "the end of training, though no multiple of 3"
    assert list(folder.glob("events.out.tfevents.*")), "TensorBoard's events lie in the folder itself"
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["recipe"], summary["state"], summary["steps"]) == ("toy", "finished", 8)
    assert summary["checkpoint"] == str(folder / "checkpoints" / "last.ckpt")
    assert {"loss/train", "loss/val"} <= set(summary["metrics"])
    assert summary["device"] == "1 x cpu"
    assert "torch" in summary["versions"]
    assert not list(folder.rglob("*.partial"))


@pytest.mark.slow
def test_the_saved_recipe_repeats_the_run(vmae, here):
    vmae("fit", "-c", "toy.yaml", "--model.width", "6", "--seed_everything", "5")
    first = only_run(here)
    saved = yaml.safe_load((first / "recipe.yaml").read_text())
    assert saved["model"]["init_args"]["width"] == 6
    assert saved["ckpt_path"] is None
    assert vmae("fit", "-c", first / "recipe.yaml") == 0
    again = max((here / "runs" / "toy").iterdir())
    assert again != first, "a fresh run of the same recipe name"
    one, two = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (first, again))
    assert torch.equal(one["state_dict"]["layer.weight"], two["state_dict"]["layer.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("by", ["last", "path"])
def test_a_run_goes_on_in_its_own_folder(vmae, here, capsys, by):
    vmae("fit", "-c", "toy.yaml")
    folder = only_run(here)
    checkpoint = "last" if by == "last" else folder / "checkpoints" / "last.ckpt"
    assert vmae("fit", "-c", "toy.yaml", "--trainer.max_epochs", "3", "--ckpt_path", checkpoint) == 0
    assert only_run(here) == folder
    assert steps_of(folder) == 12
    assert "resumed: after step 8" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_stopped_and_resumed_ends_where_an_unbroken_one_does(vmae, here):
    vmae("fit", "-c", "toy.yaml", "--trainer.max_epochs", "3", "--trainer.default_root_dir", "whole")
    vmae("fit", "-c", "toy.yaml", "--trainer.max_epochs", "2")
    vmae("fit", "-c", "toy.yaml", "--trainer.max_epochs", "3", "--ckpt_path", "last")
    whole, parts = (torch.load(only_run(root) / run_folders.LAST, weights_only=True) for root in (here / "whole", here))
    assert torch.equal(whole["state_dict"]["layer.weight"], parts["state_dict"]["layer.weight"])


def test_last_without_a_run_is_one_line_and_no_run(vmae, here, capsys):
    assert vmae("fit", "-c", "toy.yaml", "--ckpt_path", "last") == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("vmae-zoo: error: --ckpt_path last: no run of toy")
    assert "\n" not in error
    assert not (here / "runs").exists()


def test_last_is_the_newest_run_that_has_a_checkpoint(here):
    for name, saved in {"20260101-000000": True, "20260301-000000": True, "20260401-000000": False}.items():
        folder = here / "runs" / "mgmae" / name / "checkpoints"
        folder.mkdir(parents=True)
        if saved:
            (folder / "last.ckpt").touch()
    found = run_folders.newest_checkpoint(here / "runs", "mgmae")
    assert found == here / "runs" / "mgmae" / "20260301-000000" / "checkpoints" / "last.ckpt"


def test_the_saved_recipe_of_a_run_goes_on_in_that_run(here):
    for name in ("20260101-000000", "20260301-000000"):
        folder = here / "runs" / "mgmae" / name
        (folder / "checkpoints").mkdir(parents=True)
        (folder / run_folders.LAST).touch()
        (folder / run_folders.RECIPE).touch()
    older = here / "runs" / "mgmae" / "20260101-000000"
    assert run_folders.newest_checkpoint(here / "runs", "mgmae", older / run_folders.RECIPE) == older / run_folders.LAST


def test_two_runs_of_one_second_have_their_own_folders(here):
    folders = {run_folders.new_run(here, "toy") for _ in range(3)}
    assert len(folders) == 3


def test_a_requeued_slurm_job_finds_its_run(here, monkeypatch):
    for name, job in {"20260101-000000": "7", "20260102-000000": "8"}.items():
        folder = here / "toy" / name
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps({"slurm_job": job}))
    torn = here / "toy" / "20260103-000000" / "summary.json"
    torn.parent.mkdir()
    torn.write_text('{"slurm_job": "7", "st')
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert run_folders.requeued_run(here, "toy") is None, "not requeued yet"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert run_folders.requeued_run(here, "toy") == here / "toy" / "20260101-000000"


def test_a_run_that_cannot_begin_leaves_no_folder(vmae, here, capsys):
    assert vmae("fit", "-c", "toy.yaml", "--data.root", "gone") == 1
    assert capsys.readouterr().err == "vmae-zoo: error: data.root = gone is not there\n"
    assert not (here / "runs").exists()


def test_a_run_folder_that_cannot_be_written_is_one_sentence(vmae, here, capsys):
    Path("runs").write_text("a file in the way")
    assert vmae("fit", "-c", "toy.yaml") == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert "cannot be written (Not a directory): choose another place by --trainer.default_root_dir" in error


def test_fast_dev_run_writes_nothing(vmae, here):
    assert vmae("fit", "-c", "toy.yaml", "--trainer.fast_dev_run", "true") == 0
    assert [path.name for path in here.iterdir()] == ["toy.yaml"]


@pytest.mark.slow
def test_validation_reads_the_newest_checkpoint_and_writes_only_what_is_asked(vmae, here):
    vmae("fit", "-c", "toy.yaml")
    before = sorted(here.rglob("*"))
    assert vmae("validate", "-c", "toy.yaml", "--ckpt_path", "last", "--json", "val.json") == 0
    assert set(here.rglob("*")) - set(before) == {here / "val.json"}
    assert json.loads(Path("val.json").read_text())["metrics"]["loss/val"] >= 0


def test_out_of_memory_names_the_batch_size(vmae, here, capsys):
    assert vmae("fit", "-c", "toy.yaml", "--model.fail_at", "1") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "data.batch_size = 4" in error
    assert "--data.batch_size 2" in error
    assert json.loads((only_run(here) / "summary.json").read_text())["state"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138), (signal.SIGHUP, 129)]
)
def test_a_run_told_to_stop_says_so(vmae, here, capsys, monkeypatch, sent, code):
    from lightning import Trainer

    from vmae_zoo.callbacks.run_folder import RunFolder

    def stop(self, trainer: Trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), sent)

    monkeypatch.setattr(RunFolder, "on_train_batch_end", stop)
    before = signal.getsignal(sent)
    heard = signal.default_int_handler if sent == signal.SIGINT else signal.SIG_DFL
    signal.signal(sent, heard)  # a process started in the background is deaf to Ctrl-C
    assert vmae("fit", "-c", "toy.yaml", "--checkpoint.every_n_steps", "2") == code
    signal.signal(sent, before)
    folder = only_run(here)
    assert capsys.readouterr().out.splitlines()[-1] == str(folder)
    assert json.loads((folder / "summary.json").read_text())["state"] == "interrupted"
    assert steps_of(folder) == 3, "saved where it stops"


@pytest.mark.slow
def test_a_run_told_to_stop_in_a_validation_saves_and_goes_on_exactly(vmae, here, monkeypatch):
    from vmae_zoo.callbacks.run_folder import RunFolder

    def stop(self, trainer, *_):
        if trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    vmae("fit", "-c", "toy.yaml", "--trainer.default_root_dir", "whole", "--ema.decay", "0.5")
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "on_validation_batch_start", stop)
        assert vmae("fit", "-c", "toy.yaml", "--ema.decay", "0.5") == 143
    assert steps_of(only_run(here)) == 4
    assert vmae("fit", "-c", "toy.yaml", "--ema.decay", "0.5", "--ckpt_path", "last") == 0
    whole, parts = (torch.load(only_run(root) / run_folders.LAST, weights_only=True) for root in (here / "whole", here))
    for part in ("state_dict", "current_model_state"):
        assert torch.equal(whole[part]["layer.weight"], parts[part]["layer.weight"])


@pytest.mark.slow
def test_nothing_but_what_the_page_names_lies_in_the_folder(vmae, here):
    vmae("fit", "-c", "toy.yaml")
    names = {path.name.partition(".out")[0] for path in only_run(here).iterdir()}
    assert names == {"checkpoints", "recipe.yaml", "summary.json", "metrics.csv", "events", ".writer.lock"}


@pytest.mark.slow
def test_keep_every_n_epochs(vmae, here):
    vmae("fit", "-c", "toy.yaml", "--checkpoint.keep_every_n_epochs", "1")
    names = sorted(path.name for path in (only_run(here) / "checkpoints").iterdir())
    assert names == ["epoch-1.ckpt", "epoch-2.ckpt", "last.ckpt"]
