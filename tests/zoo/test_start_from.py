"""Weights put into a model that is about to be trained."""

import pytest
import torch

from vmae_zoo.methods import Classifier, VideoMAE, VideoMAEv2
from vmae_zoo.zoo import start_from

SIZE = {"size": "tiny", "depth": 1, "frames": 4, "image_size": 32}


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    model = VideoMAE(**SIZE, mask_ratio=0.75)
    state = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(state)
    torch.save(state, tmp_path / "x.ckpt")
    return tmp_path / "x.ckpt", model.state_dict()


def test_the_same_method_takes_everything(checkpoint):
    path, weights = checkpoint
    model = VideoMAE(**SIZE, mask_ratio=0.75)
    loaded = start_from(model, path)
    assert loaded.missing == loaded.left_out == ()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "make", [lambda: Classifier(**SIZE, num_classes=3), lambda: VideoMAEv2(**SIZE, mask_ratio=0.75)]
)
def test_another_method_takes_the_encoder(checkpoint, make):
    path, weights = checkpoint
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = start_from(model, path)
    for name, value in model.state_dict().items():
        from_file = name.startswith("encoder.") and not name.startswith("encoder.fc_norm.")
        assert torch.equal(value, weights[name] if from_file else before[name]), name
    assert all(not name.startswith("encoder.") or "norm" in name for name in loaded.missing)
    assert any(name.startswith("decoder.") for name in loaded.left_out)
    assert model.training


def test_a_classifier_starts_its_norm_and_head_afresh_and_says_so(checkpoint):
    loaded = start_from(Classifier(**SIZE, num_classes=3), checkpoint[0])
    assert set(loaded.missing) == {"encoder.fc_norm.weight", "encoder.fc_norm.bias", "head.weight", "head.bias"}
    assert {"encoder.norm.weight", "encoder.norm.bias"} <= set(loaded.left_out)


def test_an_encoder_of_another_size_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"does not start this VideoMAE: its weights lack encoder\.blocks\.1"):
        start_from(VideoMAE(**{**SIZE, "depth": 2}, mask_ratio=0.75), checkpoint[0])
    with pytest.raises(ValueError, match="and this Classifier needs"):
        start_from(Classifier(**SIZE, num_classes=3, width=96, num_heads=3), checkpoint[0])
