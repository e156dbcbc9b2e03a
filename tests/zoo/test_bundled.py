"""The weights in the package: they load without a network, and have learnt what their entry says."""

import numpy as np
import pytest
import torch

import vmae_zoo
from vmae_zoo.data.transforms import center_crop
from vmae_zoo.datasets.synthetic.scene import CLASSES, frames_of
from vmae_zoo.randomness import hash_text
from vmae_zoo.zoo import registry

BUNDLED = [entry for entry in registry.entries().values() if "bundled" in entry.source]


def test_every_file_in_the_package_has_an_entry_and_is_small():
    files = {path.name: path.stat().st_size for path in registry.BUNDLED.iterdir()}
    assert set(files) == {entry.source["bundled"] for entry in BUNDLED}
    assert sum(files.values()) < 8e6


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda entry: entry.name)
def test_it_predicts_the_light_of_the_scenes_that_it_was_trained_on(entry, monkeypatch):
    """Those scenes were lit from one side; it learned that light ramp, see the page on the embedded sets."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    method = vmae_zoo.load_pretrained(entry.name, task="pretrain")
    assert all(parameter.dtype == torch.float32 for parameter in method.parameters())
    expected = method.encoder.preprocessing
    keys = [hash_text(f"{entry.name} {label}") for label in CLASSES]
    frames = slice(0, expected.frames * expected.stride_frames, expected.stride_frames)
    clips = [center_crop(frames_of(*scene)[frames], expected.size) for scene in zip(CLASSES, keys, strict=True)]
    ramp_W1 = np.linspace(0.3, 1.4, expected.size, dtype=np.float32)[:, None]
    lit = np.clip(np.stack(clips) * ramp_W1 + 0.5, 0, 255).astype(np.uint8)
    video = torch.from_numpy(lit).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        out = method(*method.prepare_inputs({"video": video, "key": torch.tensor(keys)}))
    assert out.loss / out.target.square().mean() < 0.8
