"""list, pull, push and convert do what they print."""

import json

import pytest
import torch
from safetensors.torch import load_file

from vmae_zoo import list_pretrained, load_pretrained
from vmae_zoo.cli.main import main
from vmae_zoo.methods import Classifier, VideoMAE
from vmae_zoo.zoo import registry


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    model = VideoMAE(size="tiny", depth=1, frames=4, image_size=32, mask_ratio=0.75)
    state = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(state)
    torch.save(state, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt", model


def test_list_filters_and_writes_json(tmp_path, capsys):
    assert (
        main(["list", "videomae_*", "--size", "base", "--data", "ssv2", "--json", str(tmp_path / "new" / "l.json")])
        == 0
    )
    names = [entry["name"] for entry in json.loads((tmp_path / "new" / "l.json").read_text())]
    assert names == [n for n in list_pretrained("videomae_*") if "_base." in n and registry.find(n).data == "ssv2"]
    out = capsys.readouterr().out
    assert all(name in out for name in names)
    assert "70.8 ssv2" in out
    assert main(["list", "--commercial"]) == 0
    assert "CC-BY-NC" not in capsys.readouterr().out


@pytest.mark.slow
def test_push_then_pull_over_a_hub(checkpoint, hub, token, tmp_path, capsys):
    path, model = checkpoint
    assert main(["push", str(path), "org/model", "--dry-run"]) == 0
    assert "model.safetensors" in capsys.readouterr().out
    (tmp_path / "knn.json").write_text(json.dumps({"top1": 50.0, "top1_low": 40.0, "top1_high": 60.0}))
    pushed = ["push", str(path), "org/model", "--endpoint", hub.endpoint, "--metrics", str(tmp_path / "knn.json")]
    assert main([*pushed, "--tag", "v1", "--licence", "MIT"]) == 0
    commit = capsys.readouterr().out.split()[-1]
    assert main(["pull", "hf://org/model@v1", "--endpoint", hub.endpoint, "--json", str(tmp_path / "p.json")]) == 0
    found = json.loads((tmp_path / "p.json").read_text())
    assert found["revision"] == commit
    again = load_pretrained(found["file"], task="pretrain")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("target", ["out.pth", "out.safetensors"])
def test_convert_there_and_back(checkpoint, tmp_path, target, capsys):
    path, model = checkpoint
    assert main(["convert", str(path), str(tmp_path / target), "--to", "videomae"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / target)
    hints = ["--image-size", "32", "--frames", "4"]
    assert main(["convert", str(tmp_path / target), str(tmp_path / "ours"), "--to", "vmae_zoo", *hints]) == 0
    assert main(["convert", str(tmp_path / "ours"), str(tmp_path / "hf"), "--to", "transformers"]) == 0
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "again"), "--to", "vmae_zoo"]) == 0
    again = load_pretrained(tmp_path / "again", task="pretrain")
    assert again.grid == model.grid
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["num_attention_heads"] == 3


def test_convert_overwrites_nothing_and_says_what_does_not_fit(checkpoint, tmp_path, capsys):
    path, _ = checkpoint
    (tmp_path / "taken.pth").write_text("mine")
    for target, layout, said in (
        ("taken.pth", "videomae", "taken.pth"),
        ("new.pth", "mae", "VideoMAE"),
        ("new", "videomae", ".pth or .safetensors"),
    ):
        assert main(["convert", str(path), str(tmp_path / target), "--to", layout]) == 1
        assert said in capsys.readouterr().err
    assert (tmp_path / "taken.pth").read_text() == "mine"
    assert not (tmp_path / "new.pth").exists()


def test_a_classifier_keeps_the_names_of_its_classes(tmp_path):
    model = Classifier(size="tiny", depth=1, frames=4, image_size=32, classes=["jump", "wave"])
    state = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(state)
    torch.save(state, tmp_path / "x.ckpt")
    assert main(["convert", str(tmp_path / "x.ckpt"), str(tmp_path / "hf"), "--to", "transformers"]) == 0
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["id2label"] == {"0": "jump", "1": "wave"}
    assert load_pretrained(tmp_path / "hf", task="classify").classes == ["jump", "wave"]
    assert "classifier.weight" in load_file(tmp_path / "hf" / "model.safetensors")
