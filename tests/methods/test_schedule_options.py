"""Schedules and gradient clipping of a method reach its optimizer."""

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from vmae_zoo.methods import VJEPA, VideoMAE

SMALL = {"size": "tiny", "width": 24, "depth": 1, "num_heads": 2, "frames": 4, "image_size": 64}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2, "mask_ratio": 0.75}
PREDICTOR = {"predictor_width": 16, "predictor_depth": 1, "predictor_num_heads": 2}


class Watch(lightning.Callback):
    """Rate and weight decays of each step; norms of the gradients that it used."""

    def __init__(self):
        self.rates, self.decays, self.norms = [], [], []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        parts = {"encoder": pl_module.encoder, "other": getattr(pl_module, "predictor", pl_module)}
        grads = {name: [p.grad for p in part.parameters() if p.grad is not None] for name, part in parts.items()}
        if grads["encoder"]:
            self.norms.append({name: float(torch.nn.utils.get_total_norm(g)) for name, g in grads.items()})
            self.decays.append(sorted({group["weight_decay"] for group in optimizer.param_groups}))

    def on_train_batch_start(self, trainer, *_):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def run(method, folder, steps=4, epochs=1, **settings):
    watch = Watch()
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=epochs,
        default_root_dir=folder,
        callbacks=[watch],
        **quiet,
        **settings,
    )
    video = torch.randint(0, 256, (2, 3, 4, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = [{"video": video, "key": torch.arange(2)}] * (steps // epochs)
    trainer.fit(method, DataLoader(data, batch_size=None))
    return watch


@pytest.mark.filterwarnings("ignore")
def test_any_method_takes_a_start_rate_a_line_and_a_rising_weight_decay(tmp_path):
    method = VideoMAE(
        **SMALL,
        **DECODER,
        lr=1.0e-3,
        start_lr=5e-4,
        min_lr=0.0,
        warmup_steps=2,
        lr_decay="linear",
        weight_decay=0.1,
        weight_decay_end=0.5,
    )
    watch = run(method, tmp_path)
    assert watch.rates == pytest.approx([5e-4, 1e-3, 1e-3, 5e-4])
    expected = [0.5 - 0.4 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / 4)).item()) for step in range(4)]
    assert [decays[0] for decays in watch.decays] == [0.0] * 3  # from the second step on
    assert [decays[1] for decays in watch.decays] == pytest.approx(expected[1:], rel=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_vjepa_clips_encoder_and_predictor_apart_and_only_from_an_epoch_on(tmp_path):
    method = VJEPA(**SMALL, **PREDICTOR, lr=1e-3, warmup_steps=0, clip_from_epoch=1)
    watch = run(method, tmp_path, steps=4, epochs=2, gradient_clip_val=1e-3)
    for norms in watch.norms[:2]:
        assert min(norms.values()) > 2e-3
    for norms in watch.norms[2:]:
        assert list(norms.values()) == pytest.approx([1e-3, 1e-3], rel=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_a_warm_up_that_the_run_does_not_end_is_reported(tmp_path):
    with pytest.warns(UserWarning, match=r"warm-up of 4 steps .* 4 steps of this run"):
        run(VideoMAE(**SMALL, **DECODER, lr=1.0e-3, warmup_steps=4), tmp_path)
