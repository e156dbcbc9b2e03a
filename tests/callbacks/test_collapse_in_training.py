"""A V-JEPA that training itself makes collapse is warned of within 200 steps; a healthy one is not.

The collapse is the classic one: the target encoder is the encoder itself (momentum 0), gradients flow into the targets,
and the predictor is the identity, so that one constant feature is a perfect solution.
"""

import lightning
import pytest
import torch
import torch.nn.functional as F
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader

from vmae_zoo.callbacks import CollapseMeter
from vmae_zoo.methods import VJEPA
from vmae_zoo.methods.vjepa import LatentOutput
from vmae_zoo.models.patchify import gather_tokens

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:(?!.*collapse).*")]
STEPS = 200


class WithoutSafeguards(VJEPA):
    """V-JEPA without stop-gradient, moving average and predictor."""

    def forward(self, video_BCTHW, masks):
        tokens_BND = self.encoder(video_BCTHW)
        tokens_BND = F.layer_norm(tokens_BND, tokens_BND.shape[-1:])
        targets = [gather_tokens(tokens_BND, split.predicted) for split in masks]
        predictions = []
        for split in masks:
            context_BVD = self.encoder(video_BCTHW, split.visible)
            context_BVD = F.layer_norm(context_BVD, context_BVD.shape[-1:])
            predictions.append(context_BVD.mean(1, keepdim=True).expand(-1, split.predicted.shape[1], -1))
        losses = [(one - other).abs().mean() for one, other in zip(predictions, targets, strict=True)]
        return LatentOutput(torch.stack(losses).mean(), predictions, targets)


class Watch(lightning.Callback):
    """Records the deviation."""

    def __init__(self):
        self.std = []

    def on_train_batch_end(self, trainer, *_):
        if "collapse/std" in trainer.callback_metrics:
            self.std.append(float(trainer.callback_metrics["collapse/std"]))


def moving_shapes(clips, seed=0):
    """Bright rectangles that move over a dark ground: uint8 (clips, 3, 4, 32, 32)."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.randint(0, 20, (clips, 2), generator=generator)
    speed = torch.randint(-2, 3, (clips, 2), generator=generator)
    size = torch.randint(4, 12, (clips, 2), generator=generator)
    video = torch.full((clips, 3, 4, 32, 32), 20, dtype=torch.uint8)
    for clip in range(clips):
        for frame in range(4):
            top, left = (place[clip] + frame * speed[clip]).clamp(0, 24).tolist()
            video[clip, :, frame, top : top + size[clip, 0], left : left + size[clip, 1]] = 220
    return video


def run(method, folder, meter, steps=STEPS):
    torch.manual_seed(0)
    video, watch = moving_shapes(256), Watch()
    data = [
        {"video": video[place : place + 32], "key": torch.arange(place, place + 32) + 1000 * epoch}
        for epoch in range(steps // 8)
        for place in range(0, 256, 32)
    ]
    trainer = quiet_trainer(folder, meter, watch, max_steps=steps, max_epochs=1)
    trainer.fit(method, DataLoader(data, batch_size=None))
    return trainer, watch


def vjepa(kind, **settings):
    torch.manual_seed(0)
    sizes = {"size": "tiny", "frames": 4, "image_size": 32, "patch": 8, "width": 32, "depth": 2, "num_heads": 2}
    predictor = {"predictor_width": 32, "predictor_depth": 1, "predictor_num_heads": 2}
    return kind(**sizes, **predictor, lr=1e-3, start_lr=0.0, warmup_steps=20, **settings)


def warnings_of(recwarn):
    return [str(each.message) for each in recwarn if "target features collapse" in str(each.message)]


def test_a_collapse_is_reported_and_can_end_the_run(tmp_path, recwarn):
    method = vjepa(WithoutSafeguards, momentum=0.0)
    trainer, watch = run(method, tmp_path, CollapseMeter(every_n_steps=5, stop=True))
    assert len(warnings_of(recwarn)) == 1
    assert trainer.global_step < STEPS
    assert watch.std[-1] < 0.2 * max(watch.std)


def test_a_healthy_run_is_not_reported(tmp_path, recwarn):
    trainer, watch = run(vjepa(VJEPA, momentum=0.98), tmp_path, CollapseMeter(every_n_steps=5, stop=True), 120)
    assert not warnings_of(recwarn)
    assert trainer.global_step == 120
    assert watch.std[-1] > 0.2 * max(watch.std)
