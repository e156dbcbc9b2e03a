"""The encoder's class token, visible tokens and attention mask do what they say."""

import pytest
import torch

from vmae_zoo.masking import TokenGrid
from vmae_zoo.models.encoder import Encoder

GRID = TokenGrid(2, 2, 3, (2, 8, 8))


def encoder(**changes) -> Encoder:
    torch.manual_seed(0)
    return Encoder(GRID, 24, 2, 2, **changes)


def clips(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, *GRID.pixels, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("position", ["sincos_1d", "sincos_2d", "sincos_2d_rows", "separable"])
@pytest.mark.parametrize("cls_token", [False, True])
def test_patch_tokens_come_out_with_and_without_a_class_token(position, cls_token):
    model = encoder(position=position, cls_token=cls_token)
    assert model(clips()).shape == (2, 12, 24)
    assert model(clips(), torch.tensor([[3, 1], [0, 11]])).shape == (2, 2, 24)


def test_class_token_is_the_other_output():
    model = encoder(cls_token=True)
    tokens, cls = model(clips(), return_cls=True)
    assert torch.equal(tokens, model(clips()))
    assert cls.shape == (2, 24)
    assert not torch.allclose(cls[0], cls[1])  # it sees the patches


def test_asking_for_a_class_token_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no class token"):
        encoder()(clips(), return_cls=True)


def test_order_of_visible_tokens_is_the_order_of_the_output():
    model = encoder(position="separable", cls_token=True)
    ids = torch.tensor([[0, 5, 7, 9], [1, 2, 3, 11]])
    turned = ids.flip(1)
    torch.testing.assert_close(model(clips(), ids), model(clips(), turned).flip(1), atol=1e-5, rtol=1e-5)


def test_masked_tokens_do_not_reach_those_that_may_not_look():
    model = encoder()
    ids = torch.tensor([[0, 5, 7, 9]])
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    tokens = model(clips(1), ids, mask)
    shorter = model(clips(1), ids[:, :2], mask[:2, :2])
    torch.testing.assert_close(tokens[:, :2], shorter, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(tokens[:, :2], model(clips(1), ids)[:, :2])
