"""Steps whose loss or gradient is not finite are skipped."""

import json

import lightning
import pytest
import torch
from lightning import Callback
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader

from vmae_zoo.callbacks.skip_nonfinite import FILE, DivergedError, SkipNonFiniteSteps
from vmae_zoo.training.checkpointing import LastCheckpoint

GOOD = [[0.5, -1.0, 2.0, 0.25], [1.0, 0.0, -0.5, 3.0], [-2.0, 1.0, 0.75, 1.5], [0.1, 0.2, 0.3, 0.4]]
BAD = [float("nan")] * 4


class Line(lightning.LightningModule):
    """A linear map that learns the sum; a NaN or inf in a row makes its step bad."""

    def __init__(self, optimizer: str = "fused"):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 1)
        self.kind = optimizer

    def training_step(self, batch, batch_idx):
        x = batch["video"]
        finite = torch.nan_to_num(x, posinf=0.0)
        loss = (self.layer(torch.where(x.isinf(), finite, x)) - finite.sum(1, keepdim=True)).square().mean()
        return loss + torch.where(x.isinf(), x, 0.0).sum()  # inf: a bad loss, a finite gradient

    def configure_optimizers(self):
        if self.kind == "sgd":
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        return torch.optim.AdamW(self.parameters(), lr=0.1, weight_decay=0.1, fused=self.kind == "fused")


class Seen(Callback):
    """Weights after each batch."""

    def __init__(self):
        self.weights = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.weights.append(pl_module.layer.weight.detach().clone())


def train(folder, rows, *callbacks, model=None, **settings):
    data = [{"video": torch.tensor(row), "index": torch.tensor(index)} for index, row in enumerate(rows)]
    trainer = quiet_trainer(folder, *callbacks, max_epochs=1, **settings)
    model = model or Line()
    trainer.fit(model, DataLoader(data, batch_size=1))
    return model, trainer


def lines(folder):
    return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]


@pytest.mark.parametrize("optimizer", ["fused", "plain", "sgd"])
@pytest.mark.parametrize("bad", [BAD, [1.0, 2.0, float("inf"), 0.0]], ids=["gradient", "loss only"])
@pytest.mark.filterwarnings("ignore:.*skipped")
def test_a_bad_step_changes_neither_weights_nor_optimizer_state(tmp_path, optimizer, bad):
    with_bad, trainer = train(
        tmp_path, [GOOD[0], bad, GOOD[1], bad, bad, GOOD[2]], SkipNonFiniteSteps(), model=Line(optimizer)
    )
    without, other = train(tmp_path, GOOD[:3], model=Line(optimizer))
    assert trainer.global_step == 6  # the schedule and the data advance
    for ours, theirs in zip(with_bad.parameters(), without.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        states = [t.optimizers[0].state[p] for t, p in ((trainer, ours), (other, theirs))]
        assert states[0].keys() == states[1].keys()
        for name in states[0]:
            assert torch.equal(states[0][name], states[1][name]), name


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_skipped_steps_are_written_with_their_clips(tmp_path):
    counter = SkipNonFiniteSteps()
    _, trainer = train(tmp_path, [GOOD[0], BAD, GOOD[1], BAD], counter)
    assert counter.skipped == 2
    assert [(line["step"], line["clips"]) for line in lines(tmp_path)] == [(1, [1]), (3, [3])]
    assert lines(tmp_path)[0]["loss"] == "nan"
    assert trainer.callback_metrics["gradient/skipped_steps"] == 2


def test_a_finite_run_is_not_changed(tmp_path):
    ours, _ = train(tmp_path, GOOD, SkipNonFiniteSteps())
    plain, _ = train(tmp_path, GOOD)
    assert torch.equal(ours.layer.weight, plain.layer.weight)
    assert not (tmp_path / FILE).exists()


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_one_bad_batch_skips_its_accumulated_step_only(tmp_path):
    ours, trainer = train(tmp_path, [BAD, GOOD[0], GOOD[1], GOOD[2]], SkipNonFiniteSteps(), accumulate_grad_batches=2)
    without, _ = train(tmp_path, [GOOD[1], GOOD[2]], accumulate_grad_batches=2)
    assert trainer.global_step == 2
    assert torch.equal(ours.layer.weight, without.layer.weight)
    assert lines(tmp_path)[0]["clips"] == [0, 1]


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_many_bad_steps_roll_back_to_the_last_checkpoint(tmp_path):
    seen, counter = Seen(), SkipNonFiniteSteps(patience=2)
    rows = [*GOOD[:3], GOOD[3], BAD, BAD, GOOD[1]]  # saved after the third step; the fourth is undone
    ours, trainer = train(tmp_path, rows, counter, seen, LastCheckpoint(every_n_steps=3), max_steps=7)
    assert not torch.equal(seen.weights[3], seen.weights[2])
    assert torch.equal(seen.weights[4], seen.weights[3])
    assert torch.equal(seen.weights[5], seen.weights[2])
    assert counter.rolled_back == 1
    assert trainer.global_step == 7
    without, _ = train(tmp_path / "other", [*GOOD[:3], GOOD[1]])
    assert torch.equal(ours.layer.weight, without.layer.weight)  # the optimizer state is restored too


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_the_run_ends_if_rollbacks_do_not_help(tmp_path):
    with pytest.raises(DivergedError, match=r"2 steps .* step 5, after 1 rollbacks"):
        train(
            tmp_path,
            [GOOD[0], BAD, BAD, BAD, BAD, BAD],
            SkipNonFiniteSteps(2, rollbacks=1),
            LastCheckpoint(every_n_steps=1),
        )
    with pytest.raises(DivergedError, match="after 0 rollbacks"):
        train(tmp_path / "none", [BAD, BAD, BAD], SkipNonFiniteSteps(patience=2))


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_counts_continue_in_a_resumed_run(tmp_path):
    first = SkipNonFiniteSteps(patience=4)
    train(tmp_path, [BAD, GOOD[0], BAD], first)
    second = SkipNonFiniteSteps(patience=4)
    second.load_state_dict(first.state_dict())
    train(tmp_path, [BAD, BAD], second)
    assert (second.skipped, second.in_a_row) == (4, 3)


class StateAtStepEnd(Callback):
    """State of another callback before that reads the step's check."""

    def __init__(self, of):
        self.of, self.states = of, []

    def on_train_batch_end(self, *_):
        self.states.append(self.of.state_dict())


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_checks_that_are_not_read_yet_are_counted_in_a_checkpoint(tmp_path):
    counter = SkipNonFiniteSteps()
    states = StateAtStepEnd(counter)
    train(tmp_path, [BAD, GOOD[0], BAD, BAD], states, counter)
    assert states.states[-1] == {"skipped": 3, "in_a_row": 2, "rolled_back": 0}


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="patience"):
        SkipNonFiniteSteps(patience=0)
