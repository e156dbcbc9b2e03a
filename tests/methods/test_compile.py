"""Compilation and gradient checkpointing do not change loss and gradients."""

from functools import partial, partialmethod

import pytest
import torch
from tests.methods.small import CASES, SMALL
from torch import nn
from torch._dynamo.testing import CompileCounter

from vmae_zoo import methods
from vmae_zoo.models.blocks import Block


def step(name, **options):
    """Loss and gradients of one step, its blocks, and how often they ran."""
    torch.manual_seed(0)
    method = getattr(methods, name)(**SMALL, **CASES[name], **options).train()
    method.log = lambda *args, **settings: None
    shape = (2, 3, *method.grid.pixels)
    draws = torch.Generator().manual_seed(0)
    batch = {
        "video": torch.randint(0, 256, shape, dtype=torch.uint8, generator=draws),
        "other": torch.randint(0, 256, shape, dtype=torch.uint8, generator=draws),
        "key": torch.arange(2),
        "label": torch.arange(2),
        "scores": torch.rand(2, method.grid.tokens, generator=draws),
    }
    method.configure_model()
    ran = []
    for block in method.blocks():
        block.register_forward_pre_hook(lambda *_: ran.append(1))
    loss = method.training_step(batch, 0)
    loss.backward()
    return (
        loss.detach(),
        {n: p.grad for n, p in method.named_parameters() if p.grad is not None},
        method.blocks(),
        len(ran),
    )


def assert_equal(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in CASES), ("Classifier", {"attention": "divided", "pool": "cls"})]
)
def test_every_method_compiles_in_whole_blocks(name, options, monkeypatch):
    expected = step(name, **options)
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager", fullgraph=True))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager", fullgraph=True))
    found = step(name, compile=True, **options)
    assert all(block._compiled_call_impl is not None for block in found[2])
    assert_equal(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_recomputed_activations_change_nothing(name):
    expected, found = step(name), step(name, gradient_checkpointing=True)
    assert found[3] > expected[3]
    assert_equal(found, expected)


@pytest.mark.slow
def test_blocks_with_different_drop_rates_share_a_program():
    torch._dynamo.reset()
    counter = CompileCounter()
    blocks = [Block(8, 2, drop_path=rate).train() for rate in (0.1, 0.2, 0.3)]
    for block in blocks:
        block.compile(dynamic=False, backend=counter, fullgraph=True)
        for length in (4, 6, 4):  # encoder and decoder
            block(torch.randn(2, length, 8))
    assert counter.frame_count == 2
