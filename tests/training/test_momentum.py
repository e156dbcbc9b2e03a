"""Averages of weights: the closed form, only after steps that were made, and exact after a resume."""

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from vmae_zoo.callbacks.skip_nonfinite import SkipNonFiniteSteps
from vmae_zoo.training.momentum import MomentumEncoder, frozen_copy

GOOD = [[0.5, -1.0, 2.0, 0.25], [1.0, 0.0, -0.5, 3.0], [-2.0, 1.0, 0.75, 1.5], [0.1, 0.2, 0.3, 0.4]]
BAD = [float("nan")] * 4
MOMENTUM = 0.75


class Followed(lightning.LightningModule):
    """A linear map learning to sum, and its average; notes both after every batch."""

    def __init__(self, optimizer="fused"):
        super().__init__()
        torch.manual_seed(0)
        self.online, self.kind, self.seen = nn.Linear(4, 1), optimizer, []
        self.average = frozen_copy(self.online)
        self.momentum = MomentumEncoder([self.online], [self.average])

    def training_step(self, batch, batch_idx):
        return (self.online(batch["video"]) - batch["video"].sum(1, keepdim=True)).square().mean()

    def on_train_batch_end(self, *_):
        self.seen.append((self.online.weight.detach().clone(), self.average.weight.detach().clone()))

    def configure_optimizers(self):
        if self.kind == "sgd":
            optimizer = torch.optim.SGD(self.online.parameters(), lr=0.1, momentum=0.9)
        else:
            optimizer = torch.optim.AdamW(self.online.parameters(), lr=0.1, fused=self.kind == "fused")
        self.momentum.attach(optimizer, lambda: MOMENTUM)
        return optimizer


def train(rows, model=None, folder=None, **settings):
    data = [{"video": torch.tensor(row), "index": torch.tensor(place)} for place, row in enumerate(rows)]
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    ckpt = settings.pop("ckpt_path", None)
    settings = {"max_epochs": 1, "default_root_dir": folder, **quiet, **settings}
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[SkipNonFiniteSteps()], **settings)
    model = model or Followed()
    trainer.fit(model, DataLoader(data, batch_size=1), ckpt_path=ckpt)
    return model, trainer


@pytest.mark.parametrize("optimizer", ["fused", "plain", "sgd"])
def test_the_average_is_the_closed_form_of_the_weights_seen(tmp_path, optimizer):
    start = Followed(optimizer).online.weight.detach().clone()
    model, _ = train(GOOD, Followed(optimizer), tmp_path)
    expected = MOMENTUM**4 * start
    for step, (online, _) in enumerate(model.seen):
        expected = expected + (1 - MOMENTUM) * MOMENTUM ** (3 - step) * online
    torch.testing.assert_close(model.average.weight, expected)
    assert model.average.weight.grad is None
    assert not model.average.weight.requires_grad


@pytest.mark.parametrize("optimizer", ["fused", "plain", "sgd"])
@pytest.mark.filterwarnings("ignore:.*skipped")
def test_a_skipped_step_does_not_move_it(tmp_path, optimizer):
    with_bad, _ = train([GOOD[0], BAD, GOOD[1], BAD, BAD], Followed(optimizer), tmp_path)
    without, _ = train(GOOD[:2], Followed(optimizer), tmp_path)
    assert torch.equal(with_bad.seen[1][1], with_bad.seen[0][1])
    torch.testing.assert_close(with_bad.average.weight, without.average.weight, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["fused", "plain"])
@pytest.mark.filterwarnings("ignore:.*skipped")
@pytest.mark.filterwarnings("ignore:.*lr_scheduler")
def test_a_step_that_the_loss_scaler_skipped_does_not_move_it(optimizer):
    """As under precision 16-mixed; the scaler itself also works on a CPU."""
    model = Followed(optimizer)
    made, scaler = model.configure_optimizers(), torch.amp.GradScaler("cpu", init_scale=2.0)
    for row, moves in ((GOOD[0], True), ([float("inf")] * 4, False), (GOOD[1], True)):
        before = model.average.weight.clone()
        scaler.scale(model.training_step({"video": torch.tensor([row])}, 0)).backward()
        scaler.step(made)
        scaler.update()
        made.zero_grad()
        assert torch.equal(model.average.weight, before) != moves


def test_with_accumulation_it_moves_once_a_step(tmp_path):
    model, _ = train(GOOD, folder=tmp_path, accumulate_grad_batches=2)
    averages = [average for _, average in model.seen]
    assert torch.equal(averages[0], Followed().average.weight)
    assert torch.equal(averages[1], averages[2])
    assert not torch.equal(averages[2], averages[3])


def test_a_resumed_run_goes_on_bit_for_bit(tmp_path):
    whole, _ = train(GOOD, folder=tmp_path)
    part, trainer = train(GOOD[:2], folder=tmp_path)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    assert torch.equal(part.average.weight, whole.seen[1][1])
    fresh = Followed()
    nn.init.zeros_(fresh.average.weight)
    state = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert torch.equal(state["state_dict"]["average.weight"], part.average.weight)
    resumed, _ = train(GOOD[2:], fresh, tmp_path, ckpt_path=tmp_path / "x.ckpt", max_epochs=2)
    assert torch.equal(resumed.average.weight, whole.average.weight)
    assert torch.equal(resumed.online.weight, whole.online.weight)


def test_loading_a_sharded_optimizer_state_does_not_move_it():
    """PyTorch then makes a step at rate 0 with gradients of 0, to create the state."""
    from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

    model = Followed()
    optimizer = model.configure_optimizers()
    nn.init.zeros_(model.average.weight)
    optimizer_state = {"state": {}, "param_groups": [{**optimizer.param_groups[0], "params": []}]}
    for name, parameter in model.online.named_parameters():
        moments = {"exp_avg": torch.ones_like(parameter), "exp_avg_sq": torch.ones_like(parameter)}
        optimizer_state["state"][f"online.{name}"] = {"step": torch.tensor(3.0), **moments}
        optimizer_state["param_groups"][0]["params"].append(f"online.{name}")
    set_optimizer_state_dict(model, optimizer, optimizer_state)
    assert torch.equal(model.average.weight, torch.zeros_like(model.average.weight))


def test_reset_copies_the_weights():
    model = Followed()
    nn.init.ones_(model.online.weight)
    model.momentum.reset()
    assert torch.equal(model.average.weight, model.online.weight)
    assert model.average.weight.data_ptr() != model.online.weight.data_ptr()


def test_weights_of_16_bits_are_refused():
    model = Followed("plain").bfloat16()
    with pytest.raises(ValueError, match="use bf16-mixed"):
        model.configure_optimizers()
