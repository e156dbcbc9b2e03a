"""A method outside this package is loaded, converted, exported, pushed and started from as the package's own are."""

import sys
import uuid

import pytest
import torch
from tests.two_processes import started

import vmae_zoo
from vmae_zoo.cli.main import main
from vmae_zoo.methods import Classifier, VideoMAE
from vmae_zoo.zoo import load_pretrained, start_from

SIZE = {"size": "tiny", "depth": 1, "width": 24, "num_heads": 2, "frames": 4, "image_size": 32}
SOURCE = '''"""Regression of colors (a test)."""

import torch
from torch import nn

from vmae_zoo.masking import random_mask
from vmae_zoo.methods import Classifier, MaskedMethod, Output, VideoMAE
from vmae_zoo.models import encoders
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.models.preprocessing import Preprocessing


class MyMAE(MaskedMethod):
    def __init__(self, frames=4, image_size=32, stride_frames=3, width=24, mask_ratio=0.75, lr=1e-3, colors=(1, 2)):
        super().__init__(width=width, lr=lr, warmup_steps=0)
        self.save_hyperparameters()
        self.encoder = encoders.videomae(frames, image_size, stride_frames, width=width, depth=1, num_heads=2)
        self.grid = self.encoder.grid
        self.head = nn.Linear(width, 3)

    def sample_mask(self, batch):
        return random_mask(batch["key"], self.grid, self.hparams["mask_ratio"])

    def forward(self, video, split):
        return Output(self.head(self.encoder(video, split.visible)).square().mean())


class MyVideoMAE(VideoMAE):
    def __init__(self, strength: float = 2.0, **videomae):
        super().__init__(**videomae)
        self.save_hyperparameters()


class Taller(VideoMAE):
    def __init__(self, **videomae):
        super().__init__(**videomae)
        self.save_hyperparameters()
        self.extra = nn.Linear(2, 2)


class MyClassifier(Classifier):
    pass


class Teacher(MyMAE):
    """Evaluates its second encoder."""

    def __init__(self, **mine):
        super().__init__(**mine)
        self.save_hyperparameters()
        self.teacher = encoders.videomae(4, 32, 3, width=24, depth=1, num_heads=2)

    def encoder_for_evaluation(self):
        return self.teacher


class Pixels(VideoEncoder):
    """An encoder of its own class."""

    def __init__(self):
        super().__init__()
        self.preprocessing = Preprocessing(frames=4, size=32)
        self.proj = nn.Linear(3, 8)

    def forward(self, video):
        return self.proj(video.flatten(2).transpose(1, 2))


class Own(MaskedMethod):
    def __init__(self, lr=1e-3):
        super().__init__(lr=lr)
        self.save_hyperparameters()
        self.encoder = Pixels()
        self.decoder = nn.Linear(8, 3)
'''


@pytest.fixture
def guests(tmp_path, monkeypatch):
    """A module of methods in the current folder, under a name that no other test uses."""
    name = f"guests_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def make(guests, tmp_path):
    """Save a checkpoint of one of the classes; imported afterwards only if asked for."""

    def save(class_name, imported=True, **settings):
        module = __import__(guests)
        model = getattr(module, class_name)(**settings)
        torch.nn.init.normal_(next(iter(model.encoder_for_evaluation().parameters())))
        state = {"state_dict": model.state_dict()}
        model.on_save_checkpoint(state)
        path = tmp_path / f"{class_name}.ckpt"
        torch.save(state, path)
        if not imported:
            del sys.modules[guests]
        return path, model

    return save


def equal(first, second):
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_it_is_loaded_by_class_import_path_or_because_it_is_imported(make, guests):
    path, model = make("MyMAE", width=36, colors=[3, 4])
    for method in (None, type(model), f"{guests}.MyMAE"):
        again = load_pretrained(path, task="pretrain", method=method)
        assert type(again) is type(model)
        assert equal(again, model)
        assert again.hparams["colors"] == (3, 4)
        encoder = load_pretrained(path, method=method)
        assert equal(encoder, model.encoder)
        assert encoder.preprocessing == model.encoder.preprocessing


def test_a_file_imports_nothing_and_its_encoder_is_loaded_with_a_warning(make, guests, caplog):
    path, model = make("MyMAE", imported=False)
    encoder = load_pretrained(path)
    assert guests not in sys.modules
    assert equal(encoder, model.encoder)
    assert [f"{guests}.MyMAE" in record.message for record in caplog.records if record.levelname == "WARNING"] == [True]
    with pytest.raises(ValueError, match=f"method='{guests}.MyMAE'"):
        load_pretrained(path, task="pretrain")
    assert guests not in sys.modules
    assert equal(load_pretrained(path, task="pretrain", method=f"{guests}.MyMAE"), model)


def test_a_class_that_was_moved_is_named_by_the_caller(make, guests, tmp_path):
    path, _ = make("MyMAE", imported=False)
    (tmp_path / f"{guests}_moved.py").write_text(SOURCE)
    again = load_pretrained(path, task="pretrain", method=f"{guests}_moved.MyMAE")
    assert type(again).__module__ == f"{guests}_moved"
    assert again.loaded.method == f"{guests}_moved.MyMAE"


def test_the_encoder_that_it_evaluates_is_the_one_loaded(make):
    path, model = make("Teacher", imported=False)
    assert equal(load_pretrained(path), model.teacher)
    other = VideoMAE(**SIZE, mask_ratio=0.75, decoder_width=16, decoder_num_heads=2)
    start_from(other, path)
    assert equal(other.encoder, model.teacher)


def test_an_encoder_of_its_own_class_needs_the_method(make, guests):
    path, model = make("Own", imported=False)
    with pytest.raises(ValueError, match=f"{guests}.Own"):
        load_pretrained(path)
    encoder = load_pretrained(path, method=f"{guests}.Own")
    assert equal(encoder, model.encoder)
    assert encoder(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 4 * 32 * 32, 8)
    again = type(encoder.loaded and load_pretrained(path, task="pretrain"))()
    start_from(again, path)
    assert equal(again, model)


def test_a_classifier_is_loaded_as_one(make):
    path, model = make("MyClassifier", **SIZE, classes=["left", "right"])
    again = load_pretrained(path, task="classify")
    assert type(again) is type(model)
    assert again.classes == ["left", "right"]
    with pytest.raises(ValueError, match="task='classify'"):
        load_pretrained(path, task="pretrain")


def test_official_files_are_loaded_into_a_subclass(make, guests, tmp_path):
    _, model = make("MyVideoMAE", **SIZE, mask_ratio=0.75, strength=3.0, decoder_width=16, decoder_num_heads=2)
    torch.save({"model": model.state_dict()}, tmp_path / "official.pth")
    hints = {"num_heads": 2, "decoder_num_heads": 2, "image_size": 32, "frames": 4}
    again = load_pretrained(tmp_path / "official.pth", task="pretrain", method=type(model), **hints)
    assert type(again) is type(model)
    assert equal(again, model)
    with pytest.raises(ValueError, match="MyMAE"):
        load_pretrained(tmp_path / "official.pth", method=f"{guests}.MyMAE", **hints)


def test_trainings_start_from_it_and_it_starts_from_others(make, guests):
    path, model = make("MyMAE")
    same = type(model)()
    assert start_from(same, path).missing == ()
    assert equal(same, model)
    classifier = Classifier(**SIZE, num_classes=3)
    start_from(classifier, path)
    assert torch.equal(classifier.encoder.blocks[0].mlp.fc1.weight, model.encoder.blocks[0].mlp.fc1.weight)
    larger = type(model)(image_size=48)
    assert "positions resized" in start_from(larger, path).positions
    state = {"state_dict": larger.state_dict()}
    larger.on_save_checkpoint(state)
    torch.save(state, "larger.ckpt")
    again = load_pretrained("larger.ckpt", task="pretrain")
    assert torch.equal(again.encoder.positions.table, larger.encoder.positions.table)
    assert torch.equal(load_pretrained("larger.ckpt").positions.table, larger.encoder.positions.table)


def test_it_goes_to_a_hub_and_comes_back(make, guests, hub, token, monkeypatch):
    path, model = make("MyMAE")
    sha = vmae_zoo.push(model, "org/model", endpoint=hub.endpoint)
    again = load_pretrained("hf://org/model", task="pretrain", endpoint=hub.endpoint)
    assert type(again) is type(model)
    assert equal(again, model)
    assert again.loaded.revision == sha
    card = hub.blobs[hub.repos["org/model"].commits[sha]["README.md"]].decode()
    assert "Regression of colors" in card
    assert f'method="{guests}.MyMAE"' in card
    vmae_zoo.push(load_pretrained(path), "org/encoder", endpoint=hub.endpoint)
    del sys.modules[guests]
    for repo in ("hf://org/model", "hf://org/encoder"):
        encoder = load_pretrained(repo, endpoint=hub.endpoint)
        assert equal(encoder, model.encoder)
        assert encoder.preprocessing.stride_frames == 3
    assert guests not in sys.modules
    with pytest.raises(ValueError, match="an encoder alone"):
        load_pretrained("hf://org/encoder", task="pretrain", endpoint=hub.endpoint)


@pytest.mark.slow
def test_the_commands_take_its_import_path(make, guests, hub, token, tmp_path, capsys):
    path, model = make("MyVideoMAE", imported=False, **SIZE, mask_ratio=0.75, decoder_width=16, decoder_num_heads=2)
    name = f"{guests}.MyVideoMAE"
    assert main(["push", str(path), "org/model", "--endpoint", hub.endpoint]) == 1
    assert f"--method {name}" in capsys.readouterr().err
    assert main(["push", str(path), "org/model", "--endpoint", hub.endpoint, "--method", name]) == 0
    assert main(["convert", str(path), "ours", "--to", "vmae_zoo", "--method", name]) == 0
    assert main(["convert", "ours", "official.pth", "--to", "videomae", "--method", name]) == 0
    assert main(["export", "--checkpoint", "ours", "--out", "encoder.pt2", "--method", name]) == 0
    hints = {"num_heads": 2, "decoder_num_heads": 2, "image_size": 32, "frames": 4}
    for source, settings in (("ours", {}), ("official.pth", hints), ("hf://org/model", {"endpoint": hub.endpoint})):
        assert equal(load_pretrained(source, task="pretrain", method=name, **settings), model)
    taller, _ = make("Taller", **SIZE, mask_ratio=0.75, decoder_width=16, decoder_num_heads=2)
    assert main(["convert", str(taller), "taller.pth", "--to", "videomae"]) == 1
    assert "extra" in capsys.readouterr().err


def test_arguments_that_no_checkpoint_can_hold_are_refused(guests):
    module = __import__(guests)
    with pytest.raises(ValueError, match="colors"):
        module.MyMAE(colors=torch.nn.Linear(2, 2)).export_config()


@pytest.mark.slow
def test_in_a_script_of_its_own(make, tmp_path):
    path, _ = make("MyMAE")
    (tmp_path / "script.py").write_text(
        SOURCE
        + f"""

import vmae_zoo
model = MyMAE()
state = {{"state_dict": model.state_dict()}}
model.on_save_checkpoint(state)
torch.save(state, "main.ckpt")
print(type(vmae_zoo.load_pretrained("main.ckpt", task="pretrain")).__qualname__)
print(type(vmae_zoo.load_pretrained({str(path)!r}, task="pretrain", method=MyMAE)).__qualname__)
"""
    )
    out = started(tmp_path / "script.py", folder=tmp_path, processes=1)
    assert out.split()[-2:] == ["MyMAE", "MyMAE"]
