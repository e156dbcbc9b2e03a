"""No method synchronizes host and device in a step, nor does the moving average: no value is read back."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from tests.methods.small import CASES, SMALL
from torch.profiler import ProfilerActivity, profile

from vmae_zoo.callbacks.ema import EMA
from vmae_zoo.methods.registry import CLASS_NAMES, resolve_method

SYNCHRONIZES = {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero", "aten::masked_select"}


def test_every_method_has_its_case():
    assert set(CASES) == set(CLASS_NAMES)


@pytest.mark.parametrize("name", CASES)
def test_nothing_in_a_step_reads_a_value_back(name, monkeypatch):
    method = resolve_method(name)(**SMALL, **CASES[name]).train()
    monkeypatch.setattr(method, "log", lambda *args, **settings: None)
    shape = (2, 3, *method.grid.pixels)
    batch = {
        "video": torch.randint(0, 256, shape, dtype=torch.uint8),
        "other": torch.randint(0, 256, shape, dtype=torch.uint8),
        "key": torch.arange(2),
        "label": torch.arange(2),
        "scores": torch.rand(2, method.grid.tokens),
    }
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        method.training_step(batch, 0).backward()
    called = {event.key for event in profiler.key_averages()}
    assert "aten::scaled_dot_product_attention" in called
    assert not called & SYNCHRONIZES


def test_an_update_of_the_moving_average_reads_nothing_back():
    method = torch.nn.Linear(3, 2)
    strategy = SingleDeviceStrategy("cpu")
    trainer = SimpleNamespace(strategy=strategy, precision="32-true", global_step=0)
    ema = EMA(0.5)
    ema.setup(trainer, method, "fit")
    ema.on_fit_start(trainer, method)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for trainer.global_step in (1, 2):
            ema.on_train_batch_end(trainer, method, None, {}, 0)
    called = {event.key for event in profiler.key_averages()}
    assert "aten::_foreach_lerp_" in called
    assert not called & SYNCHRONIZES
