"""Schedules equal the official per-iteration lists, over the true length of the run."""

from types import SimpleNamespace

import numpy as np
import pytest

from vmae_zoo.data.interfaces import VideoDataModule
from vmae_zoo.training.schedules import Schedule, run_length


def official(base, final, steps, warmup):
    """The list of the official programs: linspace, then half a cosine."""
    rest = np.arange(steps - warmup)
    cosine = final + 0.5 * (base - final) * (1 + np.cos(np.pi * rest / len(rest)))
    return np.concatenate([np.linspace(0, base, warmup), cosine])


@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (7, 0), (50, 49), (117 * 20, 117 * 4)])
def test_each_step_has_the_official_rate(steps, warmup):
    schedule = Schedule(steps, warmup, final=8e-5 / 1.2e-3)
    rates = [1.2e-3 * schedule.lr_factor(step) for step in range(steps)]
    np.testing.assert_allclose(rates, official(1.2e-3, 8e-5, steps, warmup), atol=1e-12)


def test_a_run_may_end_during_the_warmup():
    schedule = Schedule(4, 8, final=0.1)
    assert [schedule.lr_factor(step) for step in range(5)] == pytest.approx([0, 1 / 7, 2 / 7, 3 / 7, 4 / 7])
    assert Schedule(8, 8, final=0.1).lr_factor(8) == 1.0


class Data(VideoDataModule):
    steps_per_epoch = 117
    global_batch = 2048


def trainer(max_steps=-1, max_epochs=None, datamodule=None, limit=1.0, accumulated=1):
    limits = {"limit_train_batches": limit, "accumulate_grad_batches": accumulated}
    return SimpleNamespace(max_steps=max_steps, max_epochs=max_epochs, datamodule=datamodule, **limits)


def test_length_and_warmup_are_counted_in_global_batches():
    run = run_length(trainer(max_epochs=800, datamodule=Data()), warmup_epochs=40)
    assert (run.steps, run.warmup_steps, run.global_batch) == (93600, 4680, 2048)
    assert run_length(trainer(500, 800, Data()), 0).steps == 500
    assert run_length(trainer(500, 2, Data()), 0).steps == 234
    assert run_length(trainer(max_steps=500), 40, warmup_steps=5).warmup_steps == 5


@pytest.mark.parametrize(("limit", "steps"), [(1.0, 117), (0.1, 12), (0.5, 59), (1, 1), (40, 10), (9999, 117)])
def test_the_length_counts_the_batches_that_the_trainer_leaves(limit, steps):
    """4 batches a step: of 468 batches 46, 234, 1 and 40; an incomplete accumulation at the end makes a step."""
    run = run_length(trainer(max_epochs=3, datamodule=Data(), limit=limit, accumulated=4), warmup_epochs=1)
    assert (run.steps, run.warmup_steps) == (3 * steps, steps)


def test_a_run_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match="max_steps"):
        run_length(trainer(max_epochs=3), 0)
    with pytest.raises(ValueError, match="warmup_epochs"):
        run_length(trainer(max_steps=3), 40)


def test_vjepa_counts_from_one_and_stretches_its_cosine():
    """2e-4 to 6.25e-4 in 40 epochs, then a cosine to 1e-6 of 1.25 x 300 epochs, of 300 steps each."""
    schedule = Schedule(90_000, 12_000, 2e-4 / 6.25e-4, 1e-6 / 6.25e-4, "cosine", 1.25, first_step=1)
    rates = [6.25e-4 * schedule.lr_factor(step) for step in (0, 5_999, 11_999, 89_999)]
    end = 1e-6 + (6.25e-4 - 1e-6) * 0.5 * (1 + np.cos(np.pi * 78_000 / 100_500))
    assert rates == pytest.approx([2e-4 + 4.25e-4 / 12_000, 2e-4 + 4.25e-4 / 2, 6.25e-4, end])
    decays = [schedule.weight_decay(step, 0.04, 0.4) for step in (0, 89_999)]
    assert decays == pytest.approx([0.4 - 0.36 * 0.5 * (1 + np.cos(np.pi * n / 112_500)) for n in (1, 90_000)])


def test_the_cool_down_of_vjepa_2_ends_where_it_is_published():
    schedule = Schedule(12_000, 0, final=1e-6 / 5.25e-4, decay="linear", stretch=1.25, first_step=1)
    assert 5.25e-4 * schedule.lr_factor(11_999) == pytest.approx(1.06e-4, rel=0.01)
    flat = Schedule(3_000, 300, 1e-4 / 5.25e-4, decay="constant", first_step=1)
    assert [flat.lr_factor(step) for step in (299, 2_999)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "word"), [({"decay": "sudden"}, "lr_decay"), ({"stretch": 0.5}, "schedule_stretch")]
)
def test_invalid_schedules_are_refused(settings, word):
    with pytest.raises(ValueError, match=word):
        Schedule(10, **settings)
