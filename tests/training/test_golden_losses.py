"""Twenty steps of each method have the losses on record: a change of the code that changes them is seen.

After a change that is meant to, `python tests/training/test_golden_losses.py` writes the record anew.
"""

import json
import logging
from pathlib import Path

import lightning
import pytest
import torch
from tests.methods.small import CASES, SMALL
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader

from vmae_zoo.methods.registry import CLASS_NAMES, resolve_method
from vmae_zoo.randomness import random_bits

RECORD = Path(__file__).parents[1] / "golden" / "losses.json"
STEPS = 20
RATES = dict.fromkeys(CASES, 3e-3) | {"MoCoV3": 1e-4}  # batch norms over four clips are shaky


class Losses(lightning.Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.values.append(round(float(outputs["loss"]), 6))


def clips(method, count=8):
    """Smooth moving patterns with a little noise, from the keys."""
    frames, height, width = method.grid.pixels
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    for key in range(count):
        views = {}
        for view, name in enumerate(("video", "other")):
            wave = torch.sin(x / (4 + key) + t / 2 + view) + torch.cos(y / (9 - key % 5) - t / 3)
            noise = random_bits(torch.tensor([2 * key + view]), wave.numel(), "noise").view_as(wave) % 32
            one = (96 + 48 * wave).to(torch.int64) + noise
            views[name] = torch.stack([one, 255 - one, one.flip(-1)]).clamp(0, 255).to(torch.uint8)
        scores = (random_bits(torch.tensor([key]), method.grid.tokens, "scores")[0] % 1000) / 1000
        yield {**views, "key": torch.tensor(key), "label": torch.tensor(key % 3), "scores": scores.float()}


def losses(name, folder):
    torch.manual_seed(0)
    method, seen = resolve_method(name)(**SMALL, **CASES[name], lr=RATES[name], warmup_steps=3), Losses()
    trainer = quiet_trainer(folder, seen, max_steps=STEPS)
    trainer.fit(method, DataLoader(list(clips(method)), batch_size=4))
    return seen.values


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_the_losses_are_those_on_record(name, tmp_path, monkeypatch):
    def estimate(trainer):
        raise AssertionError("this creates the data loader before a resumed run has restored its position")

    monkeypatch.setattr(lightning.Trainer, "estimated_stepping_batches", property(estimate))
    recorded = json.loads(RECORD.read_text())[name]
    assert losses(name, tmp_path) == pytest.approx(recorded, rel=1e-3)
    assert len(set(recorded)) == STEPS


def test_every_method_is_on_record():
    assert set(CASES) == set(CLASS_NAMES)


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    found = {name: losses(name, RECORD.parent) for name in CASES}
    RECORD.write_text("{\n" + ",\n".join(f'"{name}": {json.dumps(values)}' for name, values in found.items()) + "\n}\n")
