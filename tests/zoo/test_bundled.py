"""The weights in the package: they load without a network, and have learned what their entry says."""

from itertools import product

import numpy as np
import pytest
import torch

import vmae_zoo
from vmae_zoo.data.transforms import center_crop
from vmae_zoo.datasets.synthetic.moving_glyphs import GLYPHS, MOTIONS, SPEEDS, make_clip
from vmae_zoo.datasets.synthetic.scene import CLASSES, frames_of
from vmae_zoo.randomness import hash_text
from vmae_zoo.zoo import registry

NEW, LATENT, OLD = "videomae_tiny.demo-16", "vjepa_tiny.demo-16", "videomae_tiny.demo-60"
BUNDLED = [entry for entry in registry.entries().values() if "bundled" in entry.source]


def test_every_file_in_the_package_has_an_entry_and_is_small():
    files = {path.name: path.stat().st_size for path in registry.BUNDLED.iterdir()}
    assert set(files) == {entry.source["bundled"] for entry in BUNDLED}
    assert sum(files.values()) < 8e6


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_a_retired_model_names_the_one_to_use_instead():
    assert {entry.name: entry.retired for entry in BUNDLED} == {NEW: "", LATENT: "", OLD: NEW}
    assert registry.find(OLD).location.endswith(f"retired: use {NEW}")


def glyph_batch():
    """A batch of sixty clips of glyphs."""
    kinds = list(product(GLYPHS[:5], MOTIONS[:4], SPEEDS))
    keys = [hash_text(f"bundled {kind}") for kind in kinds]
    clips = [make_clip(*kind, key)[4:20:2] for kind, key in zip(kinds, keys, strict=True)]
    return {"video": torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3), "key": torch.tensor(keys)}


def test_the_model_of_glyphs_predicts_more_than_a_constant():
    method = vmae_zoo.load_pretrained(NEW, task="pretrain")
    assert all(parameter.dtype == torch.float32 for parameter in method.parameters())
    with torch.no_grad():
        inputs = method.prepare_inputs(glyph_batch())
        out = method(*inputs)
        assert out.loss < 0.7 * method.null_losses(out, *inputs)["clip_mean"]


def test_the_model_of_features_predicts_more_than_the_mean_feature_of_each_clip():
    """The means are of the targets themselves, so they know more than the model."""
    method = vmae_zoo.load_pretrained(LATENT, task="pretrain").eval()
    with torch.no_grad():
        out = method(*method.prepare_inputs(glyph_batch()))
    errors = [(target - target.mean(1, keepdim=True)).abs().mean() for target in out.target]
    assert out.loss < 0.85 * sum(errors) / len(errors)


@pytest.mark.slow
def test_the_retired_model_predicts_the_light_of_the_scenes_that_it_was_trained_on():
    """Those scenes were lit from one side; it learned that light ramp, see the page on the embedded sets."""
    method = vmae_zoo.load_pretrained(OLD, task="pretrain")
    assert all(parameter.dtype == torch.float32 for parameter in method.parameters())
    expected = method.encoder.preprocessing
    keys = [hash_text(f"{OLD} {label}") for label in CLASSES]
    frames = slice(0, expected.frames * expected.stride_frames, expected.stride_frames)
    clips = [center_crop(frames_of(*scene)[frames], expected.size) for scene in zip(CLASSES, keys, strict=True)]
    ramp_W1 = np.linspace(0.3, 1.4, expected.size, dtype=np.float32)[:, None]
    lit = np.clip(np.stack(clips) * ramp_W1 + 0.5, 0, 255).astype(np.uint8)
    video = torch.from_numpy(lit).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        out = method(*method.prepare_inputs({"video": video, "key": torch.tensor(keys)}))
    assert out.loss / out.target.square().mean() < 0.8
