"""Running-cell masks equal the published table and have its counts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vmae_zoo.masking import TokenGrid, TokenSplit, dual_split, tube_mask
from vmae_zoo.masking.running_cell import running_cell
from vmae_zoo.randomness import sample_key

KEYS = torch.tensor([sample_key(1, 0, n) for n in range(32)])
RATIOS = st.sampled_from([0.25, 0.5, 0.75])
# cells as published from phase 0, slices 0 to 3: rows separated by a space, 1 = not decoded
TABLE = {
    0.25: ["00 01", "00 10", "01 00", "10 00"],
    0.5: ["10 01", "00 11", "01 10", "11 00"],
    0.75: ["11 01", "10 11", "01 11", "11 10"],
}


@pytest.mark.parametrize("ratio", TABLE)
@pytest.mark.parametrize("phase", range(4))
def test_cells_equal_the_published_table_in_every_phase(ratio, phase):
    grid = TokenGrid(8, 6, 4)
    decoded = running_cell(grid, ratio, phase).view(8, 6, 4)
    for slice_, mask in enumerate(decoded):
        cell = torch.tensor([[int(c) for c in row] for row in TABLE[ratio][(slice_ + phase) % 4].split()])
        assert torch.equal(~mask, cell.repeat(3, 2).bool())


@given(RATIOS, st.integers(4, 12), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_every_position_is_decoded_equally_often_in_four_slices(ratio, time, rows, columns, phase):
    grid = TokenGrid(time, 2 * rows, 2 * columns)
    times = running_cell(grid, ratio, phase).view(time, -1).unfold(0, 4, 1).sum(-1)
    assert (times == 4 * (1 - ratio)).all()


@pytest.mark.parametrize(
    ("grid", "visible", "decoded", "counted"),
    [(TokenGrid(8, 14, 14), 160, 784, 704), (TokenGrid(8, 16, 16, (2, 14, 14)), 208, 1024, 920)],
)
def test_sixteen_frames_have_the_published_counts(grid, visible, decoded, counted):
    split = dual_split(KEYS, tube_mask(KEYS, grid, 0.9), grid, 0.5)
    assert split.visible.shape == (32, visible)
    assert split.predicted.shape == (32, decoded)
    assert (split.weight.sum(1) == counted).all()


@settings(max_examples=30)
@given(RATIOS, st.integers(1, 9), st.integers(1, 3), st.integers(1, 3), st.floats(0.3, 0.7))
def test_a_dual_split_equals_the_one_made_from_its_two_masks(ratio, time, rows, columns, hidden):
    grid = TokenGrid(time, 2 * rows, 2 * columns)
    tube = tube_mask(KEYS, grid, hidden)
    split = dual_split(KEYS, tube, grid, ratio)
    decoded = torch.zeros(32, grid.tokens, dtype=torch.bool).scatter(1, split.predicted, True)
    reference = TokenSplit.from_masks(tube.hidden(grid.tokens), decoded)
    assert torch.equal(split.predicted, reference.predicted)
    assert torch.equal(split.weight, reference.weight)
    assert torch.equal(split.visible, tube.visible)


@settings(max_examples=30)
@given(RATIOS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.floats(0.3, 0.7))
def test_drop_doubled_leaves_the_tokens_of_weight_one(ratio, periods, rows, columns, hidden):
    grid = TokenGrid(4 * periods, 2 * rows, 2 * columns)
    tube = tube_mask(KEYS, grid, hidden)
    full, rest = dual_split(KEYS, tube, grid, ratio), dual_split(KEYS, tube, grid, ratio, drop_doubled=True)
    assert rest.weight is None
    for row in range(len(KEYS)):
        assert torch.equal(rest.predicted[row], full.predicted[row][full.weight[row] == 1])


def test_phases_are_uniform_and_independent_of_the_tube():
    grid = TokenGrid(8, 14, 14)
    keys = torch.tensor([sample_key(2, 0, n) for n in range(2000)])
    split = dual_split(keys, tube_mask(keys, grid, 0.9), grid, 0.5)
    first = split.predicted[:, 0]  # 0, 1, or 14 if neither is decoded in slice 0
    shares = torch.stack([(first == token).float().mean() for token in (0, 1, 14)])
    assert torch.allclose(shares, torch.tensor([0.5, 0.25, 0.25]), atol=0.04)
    seen = (split.visible == 0).any(1).float()
    assert (seen[first == 0].mean() - seen[first != 0].mean()).abs() < 0.05


def test_masks_are_functions_of_the_key():
    grid = TokenGrid(8, 14, 14)
    split, one = (dual_split(keys, tube_mask(keys, grid, 0.9), grid, 0.5) for keys in (KEYS, KEYS[7:8]))
    assert torch.equal(split.predicted[7:8], one.predicted)
    assert torch.equal(split.weight[7:8], one.weight)


@pytest.mark.parametrize("ratio", [0.1, 1.0, -0.5, 0.6])
def test_other_ratios_are_refused(ratio):
    with pytest.raises(ValueError, match=f"decoder_mask_ratio = {ratio}"):
        running_cell(TokenGrid(8, 14, 14), ratio, 0)


def test_an_odd_grid_is_refused():
    with pytest.raises(ValueError, match=r"7 x 14.* image_size .* 32"):
        running_cell(TokenGrid(8, 7, 14), 0.5, 0)


def test_dropping_doubled_tokens_needs_whole_periods():
    grid = TokenGrid(6, 4, 4)
    with pytest.raises(ValueError, match=r"frames .* 8"):
        dual_split(KEYS, tube_mask(KEYS, grid, 0.5), grid, 0.5, drop_doubled=True)
