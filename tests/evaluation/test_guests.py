"""A checkpoint of a user's own method is evaluated by every subcommand, with its class named by --method."""

import json
import shutil

import pytest
import torch
from tests.cli.test_guests import METHOD

from vmae_zoo.cli.main import main


@pytest.fixture(scope="module")
def place(tmp_path_factory, encode):
    """A module with a method, a checkpoint of it, and clips of two classes."""
    root = tmp_path_factory.mktemp("guest")
    (root / "guest_package.py").write_text(METHOD)
    for split, count in (("train", 4), ("val", 2)):
        for name, size in (("coarse", (32, 32)), ("fine", (64, 96))):
            for number in range(count):
                encode(root / "data" / split / name / f"{number}.mp4", frames=10 + number, size=size)
    return root


@pytest.fixture
def checkpoint(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    from guest_package import MyMAE

    torch.manual_seed(0)
    method = MyMAE(frames=4, image_size=32, stride_frames=1)
    torch.save({"state_dict": method.state_dict(), "vmae_zoo": method.export_config()}, place / "guest.ckpt")
    return ["--checkpoint", "guest.ckpt", "--method", "guest_package.MyMAE"]


@pytest.mark.slow
def test_probes_extraction_and_export_take_its_encoder(place, checkpoint, tmp_path):
    device = ["--device", "cpu", "--workers", "0"]
    data = [
        "--data",
        "recipes/data/folder.yaml",
        "--data.root",
        "data",
        "--no-baselines",
        "--out",
        str(tmp_path / "knn"),
    ]
    assert main(["knn", *checkpoint, *device, *data, "--cache", str(tmp_path / "cache")]) == 0
    assert json.loads((tmp_path / "knn" / "result.json").read_text())["scores"]["videos"] == 4
    assert main(["extract", *checkpoint, *device, "--root", "data", "--out", str(tmp_path / "features")]) == 0
    assert len(list((tmp_path / "features").rglob("*.safetensors"))) == 12
    assert main(["export", *checkpoint, "--out", str(tmp_path / "guest.pt2")]) == 0


@pytest.mark.slow
def test_its_masks_are_drawn(place, checkpoint, tmp_path):
    (place / "guest.yaml").write_text(
        "model: {class_path: guest_package.MyMAE}\ndata: {frames: 4, stride_frames: 1, size: 32}\n"
    )
    video = ["--video", "data/val/fine/0.mp4", "--out", str(tmp_path / "masks.png")]
    assert main(["masks", "--recipe", "guest.yaml", *video]) == 0
    assert main(["masks", "--recipe", "recipes/videomae.yaml", "--method", "guest_package.MyMAE", *video]) == 0


@pytest.mark.slow
def test_a_report_draws_its_masks(place, checkpoint, tmp_path):
    run = tmp_path / "runs" / "guest" / "20260101-000000"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copyfile(place / "guest.ckpt", run / "checkpoints" / "last.ckpt")
    (run / "summary.json").write_text('{"state": "finished"}')
    out = tmp_path / "report.html"
    report = ["report", str(run), "--video", "data/val/fine/0.mp4", "--out", str(out)]
    assert main([*report, "--method", "guest_package.MyMAE"]) == 0
    assert "<h2>Masks</h2>" in out.read_text()


def test_without_pixels_it_has_no_reconstruction(place, checkpoint, tmp_path, capsys):
    video = ["--video", "data/val/fine/0.mp4", "--out", str(tmp_path / "a.png"), "--device", "cpu"]
    assert main(["reconstruct", *checkpoint, *video]) == 1
    assert "MyMAE" in capsys.readouterr().err
