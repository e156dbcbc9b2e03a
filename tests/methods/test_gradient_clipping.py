"""Gradients are clipped in every precision, also with a fused optimizer."""

import lightning
import pytest
import torch
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader

from vmae_zoo.methods import VideoMAE


class Norms(lightning.Callback):
    """Norm and largest value of the gradients before and after clipping."""

    def __init__(self):
        self.before, self.after, self.largest = [], [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.before.append(self._norm(pl_module))

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        if any(p.grad is not None for p in pl_module.parameters()):
            self.after.append(self._norm(pl_module))
            self.largest.append(max(float(p.grad.abs().max()) for p in pl_module.parameters()))

    @staticmethod
    def _norm(module):
        return float(torch.nn.utils.get_total_norm([p.grad for p in module.parameters()]))


@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_step_uses_clipped_gradients(tmp_path, precision, algorithm):
    torch.manual_seed(0)
    small = {"width": 24, "depth": 1, "num_heads": 2, "decoder_width": 24, "decoder_depth": 1, "decoder_num_heads": 2}
    method = VideoMAE("tiny", frames=4, image_size=32, mask_ratio=0.5, lr=1e-3, warmup_steps=0, **small)
    video = torch.randint(0, 256, (3, 2, 3, 4, 32, 32), dtype=torch.uint8)
    data = [{"video": clip, "key": torch.arange(2)} for clip in video]
    norms = Norms()
    trainer = quiet_trainer(
        tmp_path, norms, precision=precision, max_steps=3, gradient_clip_val=0.001, gradient_clip_algorithm=algorithm
    )
    trainer.fit(method, DataLoader(data, batch_size=None))
    assert min(norms.before) > 0.01
    assert norms.after
    if algorithm == "norm":
        assert norms.after == pytest.approx([0.001] * len(norms.after), rel=1e-3)
    else:
        assert max(norms.largest) <= 0.001 * (1 + 1e-6)
