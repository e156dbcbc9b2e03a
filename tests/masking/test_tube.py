"""Tube masks: one set of spatial positions for each clip, the same in every slice."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmae_zoo.masking import TokenGrid, tube_mask
from vmae_zoo.randomness import sample_key

KEYS = torch.tensor([sample_key(0, 0, n) for n in range(16)])


@pytest.mark.parametrize(("ratio", "visible"), [(0.9, 160), (0.75, 392), (0.95, 80)])
def test_published_ratios_have_the_published_counts(ratio, visible):
    split = tube_mask(KEYS, TokenGrid(8, 14, 14), ratio)
    assert split.visible.shape == (16, visible)
    assert split.predicted.shape == (16, 1568 - visible)


@given(st.integers(1, 5), st.integers(2, 6), st.integers(2, 6), st.floats(0.3, 0.7))
def test_every_slice_has_the_same_mask_and_every_token_is_visible_or_predicted(time, height, width, ratio):
    grid = TokenGrid(time, height, width)
    split = tube_mask(KEYS, grid, ratio)
    slices = split.hidden(grid.tokens).view(16, time, -1)
    assert torch.equal(slices, slices[:, :1].expand_as(slices))
    assert slices[0, 0].sum() == int(ratio * height * width)
    both = torch.cat([split.visible, split.predicted], 1).sort(1).values
    assert torch.equal(both, torch.arange(grid.tokens).expand(16, -1))
    assert torch.equal(split.visible, split.visible.sort(1).values)
    assert torch.equal(split.predicted, split.predicted.sort(1).values)


def test_masks_are_functions_of_the_key():
    grid = TokenGrid(8, 14, 14)
    split, again = tube_mask(KEYS, grid, 0.9), tube_mask(KEYS[5:6], grid, 0.9)
    assert torch.equal(split.visible[5:6], again.visible)
    assert len({tuple(row.tolist()) for row in split.visible}) == 16


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 1.5, 0.001])
def test_a_ratio_that_hides_nothing_or_everything_is_refused(ratio):
    with pytest.raises(ValueError, match=f"mask_ratio = {ratio}"):
        tube_mask(KEYS, TokenGrid(8, 14, 14), ratio)
