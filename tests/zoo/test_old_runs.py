"""A run folder and a feature cache of version 0.1.0, written before its rooms and classes got their present names.

The run (``old/run_folder``) was interrupted after step 26 of 120, in the middle of an epoch. Without the interruption
that version ended with the loss below.
"""

import json
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from vmae_zoo import load_pretrained
from vmae_zoo.aliases import CALLBACK_STATES, CLASS_PATHS, SHORT_NAMES, current_class_paths
from vmae_zoo.cli.main import main
from vmae_zoo.data import open_catalog
from vmae_zoo.evaluation import compute_features

OLD = Path(__file__).with_name("old")
LOSS = 0.494765


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A copy of the run, in a copy of the folder that it was started in."""
    shutil.copytree(OLD / "run_folder", tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    return next(Path("runs/old").iterdir())


@pytest.mark.slow
def test_it_is_resumed_and_ends_as_if_never_interrupted(run, capsys):
    assert main(["fit", "-c", str(run / "recipe.yaml"), "--ckpt_path", "last"]) == 0
    output = capsys.readouterr()
    assert "26" in next(line for line in output.out.splitlines() if line.startswith("resumed"))
    assert "FiniteSteps" not in output.out + output.err
    assert list(Path("runs/old").iterdir()) == [run]
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["state"], summary["steps"]) == ("finished", 120)
    assert summary["metrics"]["loss/train"] == pytest.approx(LOSS, rel=1e-3)
    states = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    assert CALLBACK_STATES["FiniteSteps"] in states
    assert states["Throughput"]["clips"] == 480


@pytest.mark.slow
def test_its_state_of_callbacks_is_restored(run, tmp_path):
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["callbacks"]["FiniteSteps"]["skipped"] = 5
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")
    steps = ["--trainer.max_epochs=-1", "--trainer.max_steps=27"]
    assert main(["fit", "-c", str(run / "recipe.yaml"), "--ckpt_path", "last", *steps]) == 0
    states = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    assert states[CALLBACK_STATES["FiniteSteps"]]["skipped"] == 5


def test_its_weights_load_and_its_features_are_those_that_were_cached(run, tmp_path, caplog):
    assert load_pretrained(run, task="pretrain").loaded.left_out == ()
    old = shutil.copytree(OLD / "features", tmp_path / "cache")
    records = open_catalog(Path("videos")).records[:4]
    features = compute_features(load_pretrained(run), records, cache=old)
    assert features.computed == 4
    expected = np.load(next(old.glob("*/part-0000-18686.npy")))
    np.testing.assert_allclose(features.tensor()[:, 0], expected[:, 0], rtol=1e-4, atol=1e-4)
    outdated = next(old.glob("*/made_from.json")).parent
    assert any(outdated.name in record.message and str(old) in record.message for record in caplog.records)
    caplog.clear()
    assert compute_features(load_pretrained(run), records, cache=old).computed == 0
    assert not caplog.records


def test_every_alias_names_a_class_that_exists():
    for path in {*CLASS_PATHS.values(), *SHORT_NAMES.values()}:
        module, _, name = path.rpartition(".")
        assert isinstance(getattr(import_module(module), name), type)
    assert set(CALLBACK_STATES.values()) <= {path.rpartition(".")[2] for path in SHORT_NAMES.values()}


def test_old_class_paths_are_replaced_wherever_a_recipe_names_them():
    logger = {"class_path": "vmae_zoo.callbacks.events.RunEvents", "init_args": {"save_dir": "."}}
    callbacks = [{"class_path": "vmae_zoo.callbacks.Pictures"}, {"class_path": "my_package.Mine"}]
    recipe = {"trainer": {"logger": logger, "callbacks": callbacks}, "model": {"class_path": "vmae_zoo.VideoMAE"}}
    current = current_class_paths(recipe)
    paths = [item["class_path"] for item in (current["trainer"]["logger"], *current["trainer"]["callbacks"])]
    old = ("vmae_zoo.callbacks.events.RunEvents", "vmae_zoo.callbacks.Pictures")
    assert paths == [*(CLASS_PATHS[path] for path in old), "my_package.Mine"]
    assert current["model"] == recipe["model"]
    assert current["trainer"]["logger"]["init_args"] == logger["init_args"]
