"""Trainings start from image transformers of timm by name: downloaded by timm itself, from the loopback hub."""

import json
import os
import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import save

from vmae_zoo import load_pretrained
from vmae_zoo.methods import MAE, Classifier
from vmae_zoo.zoo.init_from import start_from

IMAGE = {"size": "tiny", "depth": 2, "width": 48, "num_heads": 4, "image_size": 32}
TIMESFORMER = {"attention": "divided", "pool": "cls", "position": "separable", "bias": "qkv", "cube_frames": 1}
SMALL = {"img_size": 32, "embed_dim": 48, "depth": 2, "num_heads": 4, "num_classes": 7}
PROGRAM = """
import sys
import torch
from vmae_zoo import MAE, Classifier
from vmae_zoo.zoo import load_pretrained, start_from
assert "timm" not in sys.modules
name, settings = "timm:hf-hub:org/vit", dict(size="tiny", depth=2, width=48, num_heads=4, image_size=32)
mae = MAE(**settings, decoder_width=16, decoder_num_heads=2)
report = start_from(mae, name)
print(report.line())
video = Classifier(**settings, frames=4, num_classes=3, attention="divided", pool="cls", position="separable",
                   bias="qkv", cube_frames=1, mean=[0.5] * 3, std=[0.25] * 3)
start_from(video, name)
encoder = load_pretrained(name)
torch.save({"mae": mae.state_dict(), "video": video.state_dict(), "encoder": encoder.state_dict(),
            "mean": encoder.preprocessing.mean, "licence": encoder.loaded.licence}, sys.argv[1])
from huggingface_hub import constants
constants.HF_HUB_OFFLINE = True  # else its client tries for half a minute
try:
    load_pretrained("timm:hf-hub:org/other")
except ValueError as error:
    print(error)
"""


@pytest.fixture
def vit():
    """A small transformer of timm with random weights, none of them at a special value."""
    torch.manual_seed(0)

    def make(name="vit_tiny_patch16_224", **settings):
        model = timm.create_model(name, **{**SMALL, **settings})
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return model.eval()

    return make


def publish(hub, model, architecture="vit_tiny_patch16_224", settings=None):
    """Put a model on the hub as timm does."""
    config = {
        "architecture": architecture,
        "num_classes": 7,
        "model_args": {**SMALL, **(settings or {})},
        "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "license": "cc-by-nc-4.0"},
    }
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    hub.add("org/vit", {"config.json": json.dumps(config).encode(), "model.safetensors": save(weights)})


@pytest.mark.slow
def test_timm_downloads_it_and_features_are_equal_and_a_hub_out_of_reach_is_one_sentence(hub, vit, tmp_path):
    image = vit()
    publish(hub, image)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "out.pt")]
    loopback = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    process = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **loopback}, check=False)
    assert process.returncode == 0, process.stderr
    assert "cannot be reached" in process.stdout.splitlines()[-1]
    assert "learned positions are left out" in process.stdout
    assert any("model.safetensors" in line for line in hub.log)
    out = torch.load(tmp_path / "out.pt")
    assert out["mean"] == (0.5, 0.5, 0.5)
    assert out["licence"] == "cc-by-nc-4.0"

    pixels = torch.randn(2, 3, 32, 32)
    theirs = image.forward_features(pixels)
    encoder = Classifier(**IMAGE, frames=1, cube_frames=1, **{"pool": "cls", "position": "separable", "bias": "qkv"})
    encoder.load_state_dict({f"encoder.{name}": value for name, value in out["encoder"].items()}, strict=False)
    tokens, cls = encoder.eval().encoder(pixels[:, :, None], return_cls=True)
    torch.testing.assert_close(torch.cat([cls[:, None], tokens], 1), theirs, rtol=1e-4, atol=1e-4)

    video = Classifier(**IMAGE, frames=4, num_classes=3, **TIMESFORMER).eval()
    video.load_state_dict(out["video"])
    still = pixels[:, :, None].expand(-1, -1, 4, -1, -1)
    torch.testing.assert_close(video.encoder(still, return_cls=True)[1], theirs[:, 0], rtol=1e-4, atol=1e-4)

    mae = MAE(**IMAGE, decoder_width=16, decoder_num_heads=2)
    mae.load_state_dict(out["mae"])
    for block, other in zip(mae.encoder.blocks, image.blocks, strict=True):
        assert torch.equal(block.attn.qkv.weight, other.attn.qkv.weight)
        assert torch.equal(block.mlp.fc2.bias, other.mlp.fc2.bias)
    assert torch.equal(mae.encoder.cls_token, image.cls_token)


@pytest.fixture
def pretrained(monkeypatch):
    """Let timm return a model instead of downloading one."""

    def use(model):
        model.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "license": "mit"}
        monkeypatch.setattr(timm, "create_model", lambda name, pretrained: model)

    return use


@pytest.mark.parametrize(
    "settings",
    [{"init_values": 0.3}, {"no_embed_class": True}, {"global_pool": "avg", "fc_norm": True}, {"patch_size": 8}],
    ids=str,
)
def test_variants_with_the_same_arithmetic_give_the_same_features(vit, pretrained, settings):
    image = vit(**settings)
    pretrained(image)
    encoder = load_pretrained("timm:vit_tiny_patch16_224")
    pixels = torch.randn(2, 3, 32, 32)
    tokens, cls = encoder(pixels[:, :, None], return_cls=True)
    torch.testing.assert_close(
        torch.cat([cls[:, None], tokens], 1), image.forward_features(pixels), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vit_tiny_patch16_224", {"pre_norm": True}),
        ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg"}),
        ("vit_tiny_patch16_224", {"reg_tokens": 2}),
        ("vit_tiny_patch16_224", {"qk_norm": True}),
        ("vit_tiny_patch16_224", {"act_layer": "relu"}),
        ("vit_tiny_patch16_224", {"qkv_bias": False}),
    ],
    ids=str,
)
def test_other_architectures_are_refused(vit, pretrained, name, settings):
    pretrained(vit(name, **settings))
    with pytest.raises(ValueError, match=f"timm:{name}: "):
        load_pretrained(f"timm:{name}")


def test_a_model_of_another_kind_is_refused(pretrained):
    pretrained(timm.create_model("resnet18"))
    with pytest.raises(ValueError, match="ResNet"):
        load_pretrained("timm:resnet18")


def test_an_unknown_name_is_answered_with_similar_ones():
    with pytest.raises(ValueError, match="vit_base_patch16_224"):
        load_pretrained("timm:vit_base_patch16_22")
    with pytest.raises(ValueError, match="HF_ENDPOINT"):
        load_pretrained("timm:vit_base_patch16_224", endpoint="http://localhost")


def test_the_seed_of_a_training_does_not_depend_on_it(vit, pretrained):
    pretrained(vit())
    model = MAE(**IMAGE, decoder_width=16, decoder_num_heads=2)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    start_from(model, "timm:vit_tiny_patch16_224")
    assert torch.equal(torch.rand(2), expected)
