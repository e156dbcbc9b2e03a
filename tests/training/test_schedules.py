"""The learning rate follows the official per-iteration list, over the run's true length."""

from types import SimpleNamespace

import numpy as np
import pytest

from vmae_zoo.data.interfaces import VideoDataModule
from vmae_zoo.training.schedules import run_length, warmup_cosine


def official(base, final, steps, warmup):
    """The list as the official programs build it: linspace, then half a cosine."""
    rest = np.arange(steps - warmup)
    cosine = final + 0.5 * (base - final) * (1 + np.cos(np.pi * rest / len(rest)))
    return np.concatenate([np.linspace(0, base, warmup), cosine])


@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (7, 0), (50, 49), (117 * 20, 117 * 4)])
def test_each_step_has_the_official_rate(steps, warmup):
    rates = [1.2e-3 * warmup_cosine(step, steps, warmup, 8e-5 / 1.2e-3) for step in range(steps)]
    np.testing.assert_allclose(rates, official(1.2e-3, 8e-5, steps, warmup), atol=1e-12)


def test_a_run_that_ends_within_its_warmup_only_rises():
    assert [warmup_cosine(step, 4, 8, 0.1) for step in range(5)] == pytest.approx([0, 1 / 7, 2 / 7, 3 / 7, 4 / 7])
    assert warmup_cosine(8, 8, 8, 0.1) == 1.0


class Data(VideoDataModule):
    steps_per_epoch = 117
    global_batch = 2048


def trainer(max_steps=-1, max_epochs=None, datamodule=None):
    return SimpleNamespace(max_steps=max_steps, max_epochs=max_epochs, datamodule=datamodule)


def test_length_and_warmup_are_counted_in_global_batches():
    run = run_length(trainer(max_epochs=800, datamodule=Data()), warmup_epochs=40)
    assert (run.steps, run.warmup_steps, run.global_batch) == (93600, 4680, 2048)
    assert run_length(trainer(500, 800, Data()), 0).steps == 500
    assert run_length(trainer(500, 2, Data()), 0).steps == 234
    assert run_length(trainer(max_steps=500), 40, warmup_steps=5).warmup_steps == 5


def test_a_run_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match="max_steps"):
        run_length(trainer(max_epochs=3), 0)
    with pytest.raises(ValueError, match="warmup_epochs"):
        run_length(trainer(max_steps=3), 40)
