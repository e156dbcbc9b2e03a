"""The pooler of V-JEPA 2 starts as published and does not depend on the order of tokens."""

import pytest
import torch

from vmae_zoo.models.pooler import AttentivePooler, pooler_heads


def test_weights_have_the_published_deviations():
    torch.manual_seed(0)
    pooler = AttentivePooler(192, 3)
    for index, block in enumerate(pooler.blocks, start=1):
        for weight in (block.attn.proj.weight, block.mlp.fc2.weight):
            assert weight.std().item() == pytest.approx(0.02 / (2 * index) ** 0.5, rel=0.05)
    assert pooler.cross_attention.mlp.fc2.weight.std().item() == pytest.approx(0.02 / 6**0.5, rel=0.05)
    assert pooler.cross_attention.kv.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_the_order_of_tokens_does_not_matter():
    torch.manual_seed(0)
    pooler, tokens = AttentivePooler(24, 3), torch.randn(2, 7, 24)
    torch.testing.assert_close(pooler(tokens), pooler(tokens[:, torch.randperm(7)]))


def test_heads_divide_the_width():
    assert [pooler_heads(width) for width in (1024, 1408, 192, 36, 5)] == [16, 16, 16, 12, 5]
