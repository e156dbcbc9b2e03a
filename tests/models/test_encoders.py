"""Encoders built alone, from hyperparameters or from a record, are those that the methods train."""

import pytest
import torch

from vmae_zoo.methods import MAE, MAEST, MGMAE, ARVideo, Classifier, MoCoV3, VideoMAE, VideoMAEv2
from vmae_zoo.methods.registry import METHODS, import_path, resolve_method
from vmae_zoo.models.blocks import DropPath
from vmae_zoo.models.encoder import resized
from vmae_zoo.models.encoders import FAMILIES, describe, rebuild

SMALL = {"size": "tiny", "depth": 2, "width": 24, "num_heads": 2, "image_size": 32}
CLIP = {**SMALL, "frames": 4, "stride_frames": 3}
DIVIDED = {"attention": "divided", "pool": "cls", "position": "separable", "bias": "qkv", "cube_frames": 1}
CASES = [
    (VideoMAE, {**CLIP, "mask_ratio": 0.75}),
    (VideoMAE, {**CLIP, "mask_ratio": 0.75, "attention": "divided", "final_norm": False, "trained_image_size": 48}),
    (VideoMAEv2, {**CLIP, "mask_ratio": 0.75, "mlp_ratio": 3.0}),
    (MGMAE, {**CLIP, "mask_ratio": 0.75}),
    (ARVideo, {**CLIP, "cluster": (1, 1, 1), "drop": 0.0}),
    (MAE, {**SMALL, "mask_ratio": 0.5, "patch": 8}),
    (MAEST, {**CLIP, "mask_ratio": 0.75, "pred_t_dim": 2}),
    (MoCoV3, {**CLIP, "projection_width": 8, "projection_dim": 4}),
    (MoCoV3, {**CLIP, "frames": 1, "position": "sincos_2d_rows", "projection_width": 8, "projection_dim": 4}),
    (Classifier, {**CLIP, "num_classes": 3, "sampling": "uniform"}),
    (Classifier, {**CLIP, **DIVIDED, "num_classes": 3, "mean": (0.4, 0.5, 0.6), "std": (0.1, 0.2, 0.3)}),
]


def check_equal(encoder, other):
    """Same names, shapes and settings, and with the same weights the same tokens."""
    ours, theirs = encoder.state_dict(), other.state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
    assert encoder.preprocessing == other.preprocessing
    assert encoder.settings == other.settings
    other.load_state_dict(ours)
    video = torch.randn(2, 3, *encoder.grid.pixels)
    with torch.no_grad():
        tokens, again = encoder.eval()(video), other.eval()(video)
    assert torch.equal(tokens, again)
    assert torch.equal(encoder.pool(tokens), other.pool(again))


@pytest.mark.parametrize(("method", "hparams"), CASES)
def test_a_family_builds_the_encoder_of_its_methods(method, hparams):
    family = METHODS[{entry.class_name: name for name, entry in METHODS.items()}[import_path(method)]].encoder
    model = method(**hparams)
    check_equal(model.encoder, FAMILIES[family](**hparams))
    check_equal(model.encoder, FAMILIES[family](**model.hparams))


def drop_rates(encoder):
    return [part.rate for part in encoder.modules() if isinstance(part, DropPath)]


@pytest.mark.parametrize("name", METHODS)
def test_defaults_of_a_method_and_its_family_agree(name):
    with torch.device("meta"):
        model, alone = resolve_method(name)(), FAMILIES[METHODS[name].encoder]()
    assert model.encoder.settings == alone.settings
    assert model.encoder.preprocessing == alone.preprocessing
    assert drop_rates(model.encoder) == drop_rates(alone)
    assert repr(model.encoder) == repr(alone)


@pytest.mark.parametrize(("method", "hparams"), CASES)
def test_an_encoder_is_rebuilt_from_its_description(method, hparams):
    encoder = method(**hparams).encoder
    again = rebuild(**describe(encoder), preprocessing=encoder.preprocessing)
    check_equal(encoder, again)


def test_a_resized_encoder_is_rebuilt_at_its_new_size():
    encoder = resized(VideoMAE(**CLIP, mask_ratio=0.75).encoder, 8, 64, 32)
    again = rebuild(**describe(encoder), preprocessing=encoder.preprocessing)
    check_equal(encoder, again)
    assert torch.equal(encoder.positions.table, again.positions.table)


def test_positions_resized_later_are_part_of_the_description():
    model = VideoMAE(**CLIP, mask_ratio=0.75)
    model.resize_positions(48)
    again = rebuild(**describe(model.encoder), preprocessing=model.encoder.preprocessing)
    assert torch.equal(model.encoder.positions.table, again.positions.table)
