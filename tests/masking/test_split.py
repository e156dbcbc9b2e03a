"""Splits hold the ids of their masks, ascending, the same number in every row."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmae_zoo.masking import TokenGrid, TokenSplit


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6))
def test_visible_and_predicted_ids_are_those_of_the_mask(batch, visible, hidden, seed):
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(batch, visible + hidden, generator=generator).argsort(1)
    mask = torch.zeros(batch, visible + hidden, dtype=torch.bool).scatter(1, order[:, :hidden], True)
    split = TokenSplit.from_masks(mask)
    for row in range(batch):
        assert split.visible[row].tolist() == [n for n in range(visible + hidden) if not mask[row, n]]
        assert split.predicted[row].tolist() == [n for n in range(visible + hidden) if mask[row, n]]
    assert split.weight is None
    assert torch.equal(split.hidden(visible + hidden), mask)


def test_only_hidden_decoded_tokens_have_weight():
    hidden = torch.tensor([[True, True, False, False], [False, True, True, False]])
    decoded = torch.tensor([[True, False, True, False], [False, True, False, True]])
    split = TokenSplit.from_masks(hidden, decoded)
    assert split.predicted.tolist() == [[0, 2], [1, 3]]
    assert split.weight.tolist() == [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("hidden", "decoded", "message"),
    [
        ([[1, 1, 0], [1, 0, 0]], None, r"\[1, 2\] visible"),
        ([[1, 1, 1]], None, "no visible"),
        ([[0, 0, 0]], None, "no hidden"),
        ([[1, 1, 0]], [[0, 0, 1]], "no decoded token is hidden"),
        ([[1, 1, 0]], [[0, 1]], r"\(1, 3\).*\(1, 2\)"),
        ([1, 1, 0], None, r"\(3,\)"),
    ],
)
def test_invalid_masks_are_refused(hidden, decoded, message):
    with pytest.raises(ValueError, match=message):
        TokenSplit.from_masks(torch.tensor(hidden), None if decoded is None else torch.tensor(decoded))


def test_a_size_that_cubes_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"height = 225 .* 16 .*224 or 240"):
        TokenGrid.of_clip(16, 225, 224)
    assert TokenGrid.of_clip(16, 224, 224).tokens == 1568
    assert TokenGrid.of_clip(16, 224, 224).pixels == (16, 224, 224)
