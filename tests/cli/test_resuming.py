"""A resumed run does what its record states; damaged files are named; nothing changes in a run that has ended."""

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml

from vmae_zoo.run_record import LAST, RECIPE, SUMMARY


@pytest.fixture
def run(vmae, here):
    """The folder of a run of eight steps."""
    assert vmae("fit", "-c", "toy.yaml", "--seed_everything", "5") == 0
    (folder,) = (here / "runs" / "toy").iterdir()
    return folder


RESUME = ("fit", "-c", "toy.yaml", "--seed_everything", "5", "--ckpt_path", "last")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def metrics(run):
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def load(run):
    return torch.load(run / LAST, weights_only=True)


@pytest.mark.slow
def test_a_changed_setting_acts_is_listed_and_recorded(vmae, run, capsys):
    capsys.readouterr()
    assert vmae(*RESUME, "--trainer.max_epochs", "3", "--model.lr", "0.02") == 0
    lines = capsys.readouterr().out.splitlines()
    changed = [line for line in lines if line.startswith("changed: ")]
    assert changed == ["changed: model.lr 0.1 -> 0.02", "changed: trainer.max_epochs 2 -> 3"]
    checkpoint = load(run)
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == 0.02
    assert checkpoint["hyper_parameters"]["lr"] == 0.02
    assert yaml.safe_load((run / RECIPE).read_text())["model"]["init_args"]["lr"] == 0.02
    assert yaml.safe_load((run / "recipe.until-step-8.yaml").read_text())["model"]["init_args"]["lr"] == 0.1


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is(vmae, run, capsys):
    before = contents(run)
    assert vmae(*RESUME) == 0
    out = capsys.readouterr().out
    assert f"finished: {run} has trained all its 8 steps" in out
    assert out.splitlines()[-1] == str(run)
    assert contents(run) == before
    assert vmae(*RESUME, "--trainer.max_steps", "6") == 1
    assert vmae("fit", "-c", "toy.yaml", "--ckpt_path", run, "--trainer.max_epochs", "1") == 1
    errors = capsys.readouterr().err.splitlines()
    assert [" = ".join(line.split(" = ")[:2]).split(" is less")[0] for line in errors] == [
        "vmae-zoo: error: trainer.max_steps = 6",
        "vmae-zoo: error: trainer.max_epochs = 1",
    ]
    assert contents(run) == before


@pytest.mark.slow
def test_a_setting_that_does_not_fit_the_weights_is_named_and_changes_nothing(vmae, run, capsys):
    before = contents(run)
    assert vmae(*RESUME, "--trainer.max_epochs", "3", "--model.width", "7") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "does not fit this model (model.width 4 -> 7)" in error
    assert str(run / RECIPE) in error
    assert contents(run) == before


@pytest.mark.slow
def test_a_refused_resumption_removes_no_file_of_another_program(vmae, run, monkeypatch):
    def refuse(*_):
        (run / "notes.txt").write_text("of somebody else")
        raise ValueError("refused")

    monkeypatch.setattr("vmae_zoo.cli.run_cli.check_changes", refuse)
    assert vmae(*RESUME, "--trainer.max_epochs", "3") == 1
    assert (run / "notes.txt").is_file()


def damage(content, kind):
    middle = len(content) // 2
    return {
        "empty": b"",
        "truncated": content[: middle // 2],
        "zeroed": content[:100] + bytes(len(content) - 100),
        "flipped": content.replace(b"layer.weight", b"layer.weighs", 1),
        "a page of zeros": content[: middle - 200] + bytes(400) + content[middle + 200 :],
        "text": b"not a checkpoint\n" * 10,
    }[kind]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_one_sentence_with_what_to_take_instead(vmae, run, capsys):
    last = run / LAST
    intact = last.read_bytes()
    capsys.readouterr()
    for kind in ("empty", "truncated", "zeroed", "flipped", "a page of zeros", "text"):
        last.write_bytes(damage(intact, kind))
        assert vmae(*RESUME, "--trainer.max_epochs", "3") == 1, kind
        (error,) = capsys.readouterr().err.splitlines()
        assert f"{last} is damaged" in error, kind
        assert "start a new run" in error, kind
    other = last.with_name("epoch-1.ckpt")
    other.write_bytes(intact)
    assert vmae("validate", "-c", "toy.yaml", "--ckpt_path", "last") == 1
    assert f"take --ckpt_path {other}" in capsys.readouterr().err
    assert vmae("validate", "-c", "toy.yaml", "--ckpt_path", other) == 0


@pytest.mark.slow
@pytest.mark.parametrize("file", [RECIPE, SUMMARY])
def test_an_intact_checkpoint_resumes_beside_a_torn_record(vmae, run, capsys, file):
    (run / file).write_bytes((run / file).read_bytes()[:25])
    assert vmae(*RESUME, "--trainer.max_epochs", "3") == 0
    assert ("were not compared" in capsys.readouterr().out) == (file == RECIPE)
    assert load(run)["global_step"] == 12
    assert json.loads((run / SUMMARY).read_text())["state"] == "finished"
    assert yaml.safe_load((run / RECIPE).read_text())["trainer"]["max_epochs"] == 3


@pytest.mark.slow
def test_another_logger_changes_nothing_and_every_name_of_a_checkpoint_works(vmae, here, capsys):
    Path("csv.yaml").write_text(
        Path("toy.yaml")
        .read_text()
        .replace(
            "accelerator: cpu",
            "accelerator: cpu, callbacks: "
            "[{class_path: ModelCheckpoint, init_args: {monitor: loss/val, filename: best}}], logger: "
            "{class_path: CSVLogger, init_args: {save_dir: elsewhere}}",
        )
    )
    assert vmae("fit", "-c", "csv.yaml") == 0
    (run,) = (here / "runs" / "csv").iterdir()
    assert {"recipe.yaml", "summary.json", "metrics.csv", "checkpoints"} <= {path.name for path in run.iterdir()}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert list(here.glob("elsewhere/**/metrics.csv"))
    rows = metrics(run)
    assert [float(row["loss/val"]) for row in rows] == sorted((float(row["loss/val"]) for row in rows), reverse=True)
    for name in ("last", "best", run):
        assert vmae("validate", "-c", "csv.yaml", "--ckpt_path", name) == 0
    assert vmae("fit", "-c", "csv.yaml", "--ckpt_path", "last", "--trainer.max_epochs", "3") == 0
    assert list((here / "runs" / "csv").iterdir()) == [run]
    again = metrics(run)
    assert [{name: row[name] for name in before} for row, before in zip(again, rows, strict=False)] == rows
    assert len(again) > len(rows)
    capsys.readouterr()
    assert vmae("fit", "-c", "toy.yaml", "--ckpt_path", "best") == 1
    assert "no run of toy" in capsys.readouterr().err


@pytest.mark.slow
def test_a_callback_whose_state_cannot_be_read_back_is_named_when_it_is_saved(vmae, here, recwarn):
    assert vmae("fit", "-c", "toy.yaml", "--trainer.callbacks+=toys.OddState", "--checkpoint.every_n_steps", "2") == 0
    found = [str(warning.message) for warning in recwarn if "could not load" in str(warning.message)]
    assert len(found) == 1
    assert "the state of OddState" in found[0]
    (run,) = (here / "runs" / "toy").iterdir()
    assert vmae("fit", "-c", "toy.yaml", "--ckpt_path", run, "--trainer.max_epochs", "3") == 1


@pytest.mark.slow
def test_choices_that_runs_do_not_support_are_refused(vmae, here, capsys):
    assert vmae("fit", "-c", "toy.yaml", "--trainer.barebones", "true") == 1
    assert "trainer.barebones" in capsys.readouterr().err
    assert vmae("fit", "-c", "recipes/videomae.yaml", "--trainer.precision", "64-true") == 1
    assert "trainer.precision = 64-true" in capsys.readouterr().err
    assert vmae("fit", "-c", "toy.yaml", "--trainer.callbacks+=BackboneFinetuning") == 1
    assert "`backbone`" in capsys.readouterr().err.splitlines()[-1]
    assert not (here / "runs").exists()
