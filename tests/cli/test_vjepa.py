"""V-JEPA through the command line: trained, probed, exported, started from, distilled from a frozen teacher."""

import json
from pathlib import Path

import pytest
import torch
from tests.small_run import SMALL_RUN

from vmae_zoo import load_pretrained
from vmae_zoo.cli.main import main

pytestmark = pytest.mark.slow
PREDICTOR = {"model.predictor_width": 16, "model.predictor_depth": 1, "model.predictor_num_heads": 1}
ENCODER = {"model.patch": 8, "data.batch_size": 4, "trainer.max_steps": 2, "trainer.logger": "false"}


def settings_of(model, **changes):
    settings = {name: value for name, value in SMALL_RUN.items() if "decoder" not in name and "mask" not in name}
    return {**settings, **ENCODER, "model": model, **changes}


def fit(settings):
    assert main(["fit", *(f"--{name}={value}" for name, value in settings.items())]) == 0
    return max(Path.cwd().glob("runs/*/*"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def place(tmp_path_factory, encode):
    """Clips of two classes, and a run of V-JEPA on them with an online probe."""
    root = tmp_path_factory.mktemp("vjepa")
    for split, count in (("train", 4), ("val", 2)):
        for name, size in (("coarse", (32, 32)), ("fine", (64, 96))):
            for number in range(count):
                encode(root / "data" / split / name / f"{number}.mp4", frames=10 + number, size=size)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        online = {"online_probe.every_n_steps": 1, "trainer.logger": "true"}
        run = fit(settings_of("VJEPA", **PREDICTOR, **online, **{"data.root": "data"}))
    return root, run


def test_every_probe_takes_the_target_encoder(place, tmp_path, monkeypatch):
    root, run = place
    monkeypatch.chdir(root)
    shared = ["--checkpoint", str(run), "--device", "cpu", "--workers", "0", "--data", "recipes/data/folder.yaml"]
    shared += ["--data.root", "data", "--cache", str(tmp_path / "cache"), "--no-baselines"]
    probes = {
        "knn": [],
        "linear-probe": [],
        "attentive-probe": ["--blocks", "4", "--epochs", "1", "--clips", "2", "--crops", "2"],
    }
    for probe, more in probes.items():
        assert main([probe, *shared, *more, "--out", str(tmp_path / probe)]) == 0
        result = json.loads((tmp_path / probe / "result.json").read_text())
        assert result["scores"]["videos"] == 4
    tried = result["runs"][0]["tried"]
    assert len({(head["learning_rate"], head["weight_decay"]) for head in tried}) == 20
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in load_pretrained(run).state_dict().items():
        assert torch.equal(state[f"target_encoder.{name}"], value)


def test_it_is_extracted_exported_and_pushed(place, tmp_path, monkeypatch, capsys):
    root, run = place
    monkeypatch.chdir(root)
    device = ["--checkpoint", str(run), "--device", "cpu", "--workers", "0"]
    assert main(["extract", *device, "--root", "data", "--out", str(tmp_path / "features")]) == 0
    assert len(list((tmp_path / "features").rglob("*.safetensors"))) == 12
    assert main(["export", "--checkpoint", str(run), "--out", str(tmp_path / "x.pt2")]) == 0
    clip = torch.randn(1, 3, 4, 32, 32)
    exported = torch.export.load(tmp_path / "x.pt2").module()(clip)
    encoder = load_pretrained(run)
    torch.testing.assert_close(exported, encoder.pool(encoder(clip)), atol=1e-5, rtol=1e-4)
    assert main(["push", str(run), "org/model", "--dry-run"]) == 0
    assert "VJEPA" in capsys.readouterr().out


def test_the_encoder_takes_other_frame_counts_sizes_and_rectangles(place):
    encoder = load_pretrained(place[1], clip=(8, 40, 48))
    assert encoder(torch.randn(1, 3, 8, 40, 48)).shape == (1, 4 * 5 * 6, 32)


def test_a_classifier_starts_from_it_at_another_size(place, monkeypatch):
    root, run = place
    monkeypatch.chdir(root)
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    name = "blocks.0.mlp.fc1.weight"
    for pool in ("mean", "attentive"):
        start = {"model.init_from": run, "model.position": "rope", "model.bias": "qkv", "model.pool": pool}
        frozen = {"model.lr": 0.0, "data.size": 40, "data.frames": 8, "data.root": "data"}
        trained = fit(settings_of("Classifier", **start, **frozen))
        saved = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        assert torch.equal(saved[f"encoder.{name}"], state[f"target_encoder.{name}"])
        model = load_pretrained(trained, task="classify")
        assert model(torch.randn(2, 3, 8, 40, 40)).shape == (2, 2)


def test_a_student_learns_from_a_frozen_teacher(place, monkeypatch):
    root, run = place
    monkeypatch.chdir(root)
    teacher = {"model.target": "frozen", "model.teacher": run, "data.root": "data"}
    trained = fit(settings_of("VJEPA", **PREDICTOR, **teacher))
    state, own = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for folder in (run, trained)
    )
    moved = 0
    for name, value in state.items():
        if name.startswith("target_encoder."):
            assert torch.equal(own[name], value)
            moved += not torch.equal(own[name.removeprefix("target_")], value)
    assert moved > 0  # the student is another model
    student = load_pretrained(trained)
    assert torch.equal(student.norm.weight, own["encoder.norm.weight"])
    assert load_pretrained(trained, task="pretrain").hparams["teacher_encoder"]["width"] == 32
