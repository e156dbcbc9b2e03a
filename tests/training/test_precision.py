"""bf16-mixed, the default on GPUs, learns as fp32 does; on a CPU it runs too."""

import lightning
import pytest
import torch
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader

from vmae_zoo.callbacks.skip_nonfinite import SkipNonFiniteSteps
from vmae_zoo.methods import VideoMAE

SETTINGS = {"size": "tiny", "width": 48, "depth": 2, "num_heads": 2, "frames": 4, "image_size": 32}
SETTINGS |= {"decoder_width": 32, "decoder_depth": 1, "decoder_num_heads": 2, "mask_ratio": 0.75}


class Losses(lightning.Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.values.append(float(outputs["loss"]))


def losses(folder, precision):
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    waves = [(127 + 120 * torch.sin(rows / (3 + n) + columns / (9 - n))).to(torch.uint8) for n in range(8)]
    clips = [{"video": wave.expand(3, 4, 32, 32).clone(), "key": torch.tensor(n)} for n, wave in enumerate(waves)]
    torch.manual_seed(0)
    method, seen = VideoMAE(**SETTINGS, lr=2e-3, warmup_steps=2), Losses()
    trainer = quiet_trainer(folder, seen, SkipNonFiniteSteps(), precision=precision, max_steps=40)
    trainer.fit(method, DataLoader(clips, batch_size=4))
    return torch.tensor(seen.values), method


@pytest.mark.slow
def test_bf16_mixed_has_the_losses_of_fp32(tmp_path):
    fp32, _ = losses(tmp_path, "32-true")
    bf16, method = losses(tmp_path, "bf16-mixed")
    assert fp32[-5:].mean() < 0.8 * fp32[:5].mean(), "it learns"
    assert not torch.equal(fp32, bf16)
    torch.testing.assert_close(bf16, fp32, rtol=0.02, atol=0.0)
    assert {parameter.dtype for parameter in method.parameters()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-true"])
def test_bf16_true_learns(tmp_path, precision):
    values, method = losses(tmp_path, precision)
    assert values[-5:].mean() < 0.9 * values[:5].mean()
    assert {parameter.dtype for parameter in method.parameters()} == {torch.bfloat16}
