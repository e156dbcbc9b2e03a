"""Collapse is measured by features, not by the loss, and reported once."""

import lightning
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from vmae_zoo.callbacks import CollapseMeter
from vmae_zoo.callbacks.collapse_meter import has_collapsed, rank_me
from vmae_zoo.methods import VJEPA, MoCoV3, VideoMAE

SMALL = {"size": "tiny", "frames": 4, "image_size": 64, "width": 24, "depth": 1, "num_heads": 2}
PREDICTOR = {"predictor_width": 16, "predictor_depth": 1, "predictor_num_heads": 2}
QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
pytestmark = pytest.mark.filterwarnings("ignore:(?!.*collapse).*")


class CollapseAt(lightning.Callback):
    """Makes the target encoder constant after a step, as if training had led it there."""

    def __init__(self, step):
        self.step, self.seen = step, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            nn.init.zeros_(pl_module.momentum_branch().norm.weight)

    def on_train_batch_end(self, trainer, *_):
        metrics = trainer.callback_metrics
        self.seen.append({name: float(value) for name, value in metrics.items() if name.startswith("collapse/")})


def run(method, meter, *callbacks, steps=8):
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (steps, 4, 3, 4, 64, 64), dtype=torch.uint8, generator=generator)
    data = [{"video": clips, "other": clips, "key": torch.arange(4)} for clips in video]
    trainer = lightning.Trainer(accelerator="cpu", max_steps=steps, callbacks=[meter, *callbacks], **QUIET)
    trainer.fit(method, DataLoader(data, batch_size=None))
    return trainer


def vjepa(**settings):
    torch.manual_seed(0)
    return VJEPA(**SMALL, **PREDICTOR, momentum=1.0, lr=1e-4, start_lr=0.0, warmup_steps=2, **settings)


def test_effective_rank_follows_its_formula():
    features = torch.randn(40, 12, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 13)
    values = np.linalg.svd(features.numpy(), compute_uv=False)
    shares = values / values.sum()
    assert rank_me(features) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    assert rank_me(torch.eye(9)) == pytest.approx(9, rel=1e-4)
    assert rank_me(torch.ones(9, 5)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("deviation", "rank", "best_rank", "collapsed"),
    [
        (0.29, 2.5, 4.3, False),  # the small recipe: its rank is low from the start
        (0.29, 1.2, 4.3, True),
        (0.03, 2.5, 4.3, True),
        (0.80, 60.0, 400.0, False),
        (0.80, 20.0, 400.0, True),
        (0.80, 1.0, 1.0, False),  # one clip
    ],
)
def test_collapse_is_the_loss_of_nine_tenths_of_deviation_or_rank(deviation, rank, best_rank, collapsed):
    assert has_collapsed(deviation, 0.37, rank, best_rank) == collapsed


def test_a_collapse_is_reported_once_and_a_healthy_run_is_not(recwarn):
    meter, watch = CollapseMeter(every_n_steps=1), CollapseAt(step=5)
    run(vjepa(), meter, watch)
    warnings = [str(each.message) for each in recwarn if "target features collapse" in str(each.message)]
    assert len(warnings) == 1
    assert warnings[0].startswith("step 6:")
    assert watch.seen[-1]["collapse/std"] < 1e-3 < watch.seen[3]["collapse/std"]
    recwarn.clear()
    run(vjepa(), CollapseMeter(every_n_steps=1))
    assert not [each for each in recwarn if "collapse" in str(each.message)]


def test_the_rank_of_few_clips_after_a_restart_is_no_collapse(recwarn):
    meter = CollapseMeter(every_n_steps=1, window=6)
    meter.load_state_dict({"reference": 1e-6, "best_rank": 100.0, "warned": False})
    watch = CollapseAt(step=100)
    run(vjepa(), meter, watch, steps=5)
    assert watch.seen[0]["collapse/rank"] < 10
    assert not [each for each in recwarn if "target features collapse" in str(each.message)]


def test_it_can_stop_the_run():
    assert run(vjepa(), CollapseMeter(every_n_steps=2, stop=True), CollapseAt(step=3)).global_step == 4


def test_deviation_is_that_of_normed_tokens_over_clips_and_places():
    method, watch = vjepa(), CollapseAt(step=-1)
    run(method, CollapseMeter(every_n_steps=1), watch, steps=3)
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (3, 4, 3, 4, 64, 64), dtype=torch.uint8, generator=generator)[-1]
    tokens = method.target_encoder(method.normalize(video))
    tokens = torch.nn.functional.layer_norm(tokens, (24,)).flatten(0, 1)
    assert watch.seen[-1]["collapse/std"] == pytest.approx(tokens.std(0).mean().item(), rel=1e-4)


def test_it_is_on_for_methods_with_a_momentum_branch_and_one_line_for_others():
    def measured(method, **settings):
        watch = CollapseAt(step=-1)
        run(method, CollapseMeter(every_n_steps=1, **settings), watch, steps=2)
        return set(watch.seen[-1])

    names = {"collapse/std", "collapse/rank", "collapse/alignment"}
    moco = {"projection_width": 16, "projection_dim": 8, "change_colour": False}
    masked = {"decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2, "mask_ratio": 0.75}
    assert measured(MoCoV3(**SMALL, **moco, lr=1e-4, warmup_epochs=0)) == names
    assert measured(VideoMAE(**SMALL, **masked, lr=1e-4, warmup_epochs=0)) == set()
    assert measured(VideoMAE(**SMALL, **masked, lr=1e-4, warmup_epochs=0), active=True) == names
    assert measured(vjepa(), active=False) == set()


def test_measuring_leaves_training_as_it_was():
    plain, measured = vjepa(), vjepa()
    run(plain, CollapseMeter(active=False))
    run(measured, CollapseMeter(every_n_steps=1))
    for ours, theirs in zip(measured.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_state_is_resumed():
    meter = CollapseMeter()
    meter.reference, meter.best_rank, meter.warned = 0.5, 7.0, True
    other = CollapseMeter()
    other.load_state_dict(meter.state_dict())
    assert (other.reference, other.best_rank, other.warned) == (0.5, 7.0, True)
