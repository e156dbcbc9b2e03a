"""Random masks: published counts, every token with the same probability."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmae_zoo.masking import TokenGrid, random_mask
from vmae_zoo.randomness import sample_key

KEYS = torch.tensor([sample_key(0, 0, n) for n in range(64)])


@pytest.mark.parametrize(
    ("grid", "ratio", "visible"),
    [(TokenGrid(1, 14, 14, (1, 16, 16)), 0.75, 49), (TokenGrid(8, 14, 14), 0.9, 156)],
)
def test_published_ratios_have_the_published_counts(grid, ratio, visible):
    split = random_mask(KEYS, grid, ratio)
    assert split.visible.shape == (64, visible)
    assert split.predicted.shape == (64, grid.tokens - visible)


@given(st.integers(1, 3), st.integers(2, 6), st.integers(2, 6), st.floats(0.2, 0.7))
def test_every_token_is_visible_or_predicted_and_ids_ascend(time, height, width, ratio):
    grid = TokenGrid(time, height, width)
    split = random_mask(KEYS[:4], grid, ratio)
    assert split.visible.shape[1] == int(grid.tokens * (1 - ratio))
    both = torch.cat([split.visible, split.predicted], 1).sort(1).values
    assert torch.equal(both, torch.arange(grid.tokens).expand(4, -1))
    assert torch.equal(split.visible, split.visible.sort(1).values)
    assert torch.equal(split.predicted, split.predicted.sort(1).values)


def test_slices_have_different_counts():
    split = random_mask(KEYS, TokenGrid(8, 14, 14), 0.9)
    per_slice = torch.stack([(split.visible // 196 == t).sum(1) for t in range(8)], 1)
    assert per_slice.float().std() > 2
    assert per_slice.float().mean().item() == pytest.approx(156 / 8)


def test_masks_are_functions_of_the_key():
    grid = TokenGrid(1, 14, 14, (1, 16, 16))
    split = random_mask(KEYS, grid, 0.75)
    assert torch.equal(split.visible[5:6], random_mask(KEYS[5:6], grid, 0.75).visible)
    assert len({tuple(row.tolist()) for row in split.visible}) == 64


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 0.9999])
def test_a_ratio_that_leaves_nothing_or_everything_is_refused(ratio):
    with pytest.raises(ValueError, match=f"mask_ratio = {ratio}"):
        random_mask(KEYS, TokenGrid(8, 14, 14), ratio)
