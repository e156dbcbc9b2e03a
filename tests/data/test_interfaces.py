"""A data module that is not `ClipDataModule` trains a method, and says what it lacks."""

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from vmae_zoo.data import VideoDataModule
from vmae_zoo.methods import VideoMAE

TINY = {"width": 32, "depth": 1, "num_heads": 2, "decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2}


class Noise(VideoDataModule):
    """Clips of random pixels: the two entries that every batch has to hold, and nothing else."""

    def train_dataloader(self):
        pixels = torch.Generator().manual_seed(0)
        video = torch.randint(0, 256, (8, 3, 4, 32, 32), dtype=torch.uint8, generator=pixels)
        return DataLoader([{"video": clip, "key": key} for key, clip in enumerate(video)], batch_size=2)


def fit(tmp_path, data, max_steps=3, **settings):
    lightning.seed_everything(0)
    method = VideoMAE(image_size=32, frames=4, mask_ratio=0.75, warmup_steps=1, **TINY, **settings)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(accelerator="cpu", max_steps=max_steps, default_root_dir=tmp_path, **quiet)
    trainer.fit(method, data)
    return trainer, method


@pytest.mark.slow
def test_a_module_with_only_a_train_loader_trains_when_steps_and_rate_are_given(tmp_path):
    first, _ = fit(tmp_path, Noise(), 1, lr=1e-2)
    trainer, _ = fit(tmp_path, Noise(), 40, lr=1e-2)
    assert trainer.global_step == 40
    assert float(trainer.callback_metrics["loss/train"]) < 0.9 * float(first.callback_metrics["loss/train"])


@pytest.mark.parametrize(
    ("data", "settings", "missing"),
    [(Noise(), {}, "base_lr"), (Noise(), {"lr": 1e-3, "max_steps": -1}, "max_steps")],
)
def test_what_a_module_does_not_know_is_named(tmp_path, data, settings, missing):
    with pytest.raises(ValueError, match=missing):
        fit(tmp_path, data, **settings)
