"""One file of each format, written by version 0.1.0 and never again, still loads to the same features.

Weights are 16 bits wide to keep them small, and were rounded so before the features were noted.
"""

import json
from pathlib import Path

import pytest
import torch

from vmae_zoo import load_pretrained

OLD = Path(__file__).with_name("old")
EXPECTED = json.loads((OLD / "expected.json").read_text())
HEADS = {"num_heads": 2, "image_size": 32}
FILES = {
    "lightning.ckpt": ("videomae", "vmae_zoo", {}),
    "folder": ("videomae", "vmae_zoo", {}),
    "classifier": ("classifier", "vmae_zoo", {}),
    "videomae.pth": ("videomae", "videomae", {**HEADS, "frames": 4}),
    "videomae_finetuned.pth": ("classifier", "videomae", {**HEADS, "frames": 4}),
    "transformers": ("videomae", "transformers", {}),
    "mae.pth": ("mae", "mae", HEADS),
    "mae_st.pth": ("mae_st", "mae_st", HEADS),
    "moco_v3.ckpt": ("moco_v3", "vmae_zoo", {}),
}


def clip(frames):
    return torch.sin(torch.arange(3 * frames * 32 * 32).float() * 0.37).view(1, 3, frames, 32, 32)


@pytest.mark.parametrize("name", FILES)
def test_an_old_file_still_gives_its_features(name):
    model, layout, hints = FILES[name]
    encoder = load_pretrained(OLD / name, **hints)
    assert encoder.loaded.layout == layout
    feature = encoder(clip(encoder.preprocessing.frames)).mean(1)[0, :6]
    assert torch.allclose(feature, torch.tensor(EXPECTED[model]), atol=2e-4)


@pytest.mark.parametrize(("name", "hints"), [("classifier", {}), ("videomae_finetuned.pth", {**HEADS, "frames": 4})])
def test_an_old_classifier_still_gives_its_logits(name, hints):
    logits = load_pretrained(OLD / name, task="classify", **hints)(clip(4))[0]
    assert torch.allclose(logits, torch.tensor(EXPECTED["logits"]), atol=2e-4)


@pytest.mark.parametrize("name", ["lightning.ckpt", "folder", "transformers", "videomae.pth"])
def test_old_pretraining_weights_keep_their_decoder(name):
    hints = {**HEADS, "frames": 4, "decoder_num_heads": 2} if name == "videomae.pth" else {}
    assert load_pretrained(OLD / name, task="pretrain", **hints).loaded.left_out == ()


def test_an_old_momentum_branch_still_gives_its_features():
    method = load_pretrained(OLD / "moco_v3.ckpt", task="pretrain")
    feature = method.momentum_encoder(clip(4)).mean(1)[0, :6]
    assert torch.allclose(feature, torch.tensor(EXPECTED["moco_v3_momentum"]), atol=2e-4)
