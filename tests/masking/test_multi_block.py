"""Multi-block masks keep their promises on any grid, and follow keys and steps alone."""

import math
import random
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from vmae_zoo.masking import TokenGrid, multi_block_masks
from vmae_zoo.masking.block_layout import ASPECTS, LONG_RANGE, SHORT_RANGE, VJEPA_SETS, block_layout, block_size
from vmae_zoo.masking.multi_block import aspect_of

PUBLISHED = TokenGrid(8, 14, 14)
KEYS = torch.arange(6) * 7919 - 3


def cells_of(ids, grid):
    """Cells of a slice, where whole tubes are meant."""
    return {token % grid.per_slice for token in ids}


def covers(cells, size, height, width):
    """The cells of all blocks of this size that lie within ``cells``."""
    inside = set()
    for top in range(height - size[0] + 1):
        for left in range(width - size[1] + 1):
            block = {
                row * width + column for row in range(top, top + size[0]) for column in range(left, left + size[1])
            }
            if block <= cells:
                inside |= block
    return inside


grids = st.builds(TokenGrid, st.integers(1, 4), st.integers(2, 9), st.integers(2, 9))
keys = st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None)
@given(grids, keys, st.integers(0, 10**6), st.sampled_from(["random", "late"]))
def test_hidden_and_context_are_apart_and_as_many_as_settled(grid, key, step, drop):
    splits = multi_block_masks(torch.tensor(key), grid, step, drop=drop)
    assert len(splits) == 2
    for split, blocks in zip(splits, VJEPA_SETS, strict=True):
        hidden, context = block_layout(grid.height, grid.width, blocks).kept
        assert split.predicted.shape == (len(key), hidden * grid.time)
        assert split.visible.shape == (len(key), context * grid.time)
        for ids_BM in (split.predicted, split.visible):
            assert (ids_BM[:, 1:] > ids_BM[:, :-1]).all()
            assert ids_BM.min() >= 0
            assert ids_BM.max() < grid.tokens
        for seen, gone in zip(split.visible.tolist(), split.predicted.tolist(), strict=True):
            assert not set(seen) & set(gone)
            assert not cells_of(seen, grid) & cells_of(gone, grid)


@settings(max_examples=10, deadline=None)
@given(grids, keys, st.integers(0, 10**6))
def test_context_lies_outside_blocks_that_hold_every_hidden_tube(grid, key, step):
    """With all cells that are no context as room, blocks of the step's size cover each hidden cell."""
    for split, blocks in zip(multi_block_masks(torch.tensor(key), grid, step), VJEPA_SETS, strict=True):
        size = block_size(grid.height, grid.width, blocks.scale, aspect_of(step))
        for seen, gone in zip(split.visible.tolist(), split.predicted.tolist(), strict=True):
            context, hidden = cells_of(seen, grid), cells_of(gone, grid)
            assert len(context) * grid.time == len(seen)  # whole tubes
            assert len(hidden) * grid.time == len(gone)
            room = set(range(grid.per_slice)) - context
            assert hidden <= covers(room, size, grid.height, grid.width)


@pytest.mark.parametrize("drop", ["random", "late"])
def test_masks_follow_key_and_step_alone(drop):
    together = multi_block_masks(KEYS, PUBLISHED, 5, drop=drop)
    for place in range(len(KEYS)):
        for whole, one in zip(
            together, multi_block_masks(KEYS[place : place + 1], PUBLISHED, 5, drop=drop), strict=True
        ):
            assert torch.equal(whole.visible[place], one.visible[0])
            assert torch.equal(whole.predicted[place], one.predicted[0])
    other = multi_block_masks(KEYS, PUBLISHED, 6, drop=drop)
    assert not torch.equal(together[0].predicted, other[0].predicted)
    assert len({tuple(row) for row in together[0].predicted.tolist()}) == len(KEYS)
    assert not torch.equal(together[0].predicted[:, :100], together[1].predicted[:, :100])


def test_one_aspect_serves_a_step_and_many_serve_a_run():
    sizes = {block_size(14, 14, 0.15, aspect_of(step)) for step in range(300)}
    assert sizes == {block_size(14, 14, 0.15, aspect) for aspect in ASPECTS}
    mean = sum(aspect_of(step) for step in range(2000)) / 2000
    assert mean == pytest.approx(1.125, abs=0.02)
    assert min(ASPECTS) > 0.75 > min(ASPECTS) - 0.001
    assert max(ASPECTS) < 1.5 < max(ASPECTS) + 0.001


@pytest.mark.parametrize(
    ("side", "blocks", "kept"),
    [
        (14, SHORT_RANGE, (92, 48)),
        (14, LONG_RANGE, (130, 14)),
        (16, SHORT_RANGE, (124, 60)),
        (16, LONG_RANGE, (168, 16)),
    ],
)
def test_published_grids_have_their_counts_and_accept_nearly_every_draw(side, blocks, kept):
    layout = block_layout(side, side, blocks)
    assert layout.kept == kept
    assert layout.tries <= 8  # a draw is accepted with a chance above 0.9: a millionth for six misses


def test_counts_of_other_grids_are_fifth_percentiles():
    """Against a simulation with another generator, one block at a time."""
    rng, height, width = random.Random(0), 12, 12
    for blocks in VJEPA_SETS:
        covered = []
        for _ in range(2000):
            rows, columns = block_size(height, width, blocks.scale, rng.uniform(0.75, 1.5))
            cells = set()
            for _ in range(blocks.blocks):
                top, left = rng.randint(0, height - rows), rng.randint(0, width - columns)
                cells |= {y * width + x for y in range(top, top + rows) for x in range(left, left + columns)}
            covered.append(len(cells))
        hidden, context = block_layout(height, width, blocks).kept
        ordered = sorted(covered)
        assert hidden <= ordered[100] + 2
        assert abs(hidden - ordered[100]) <= 4
        assert abs(context - (height * width - ordered[-100])) <= 3


def test_places_are_uniform():
    """Every cell is covered as often as one draw of uniform corners covers it."""
    step, count = 3, 4000
    split = multi_block_masks(torch.arange(count), TokenGrid(1, 14, 14), step)[0]
    often = torch.zeros(196).index_add_(0, split.predicted.flatten(), torch.ones(split.predicted.numel()))
    often = (often / count).view(14, 14)
    for turned in (often.flip(0), often.flip(1)):
        assert (turned - often).abs().max() < 6 * math.sqrt(0.25 / count) * 2
    assert often[7, 7] > often[0, 7] > often[0, 0]


def test_late_drops_keep_the_first_tokens_of_the_same_unions():
    grid = TokenGrid(8, 14, 14)
    late, tubes = (multi_block_masks(torch.arange(64), grid, 2, drop=drop)[1] for drop in ("late", "random"))
    slices = torch.stack([(late.visible // 196 == t).float().mean() for t in range(8)])
    assert (slices[:-1] >= slices[1:]).all()
    assert slices[0] > 2 * slices[7]
    assert torch.stack([(tubes.visible // 196 == t).float().mean() for t in range(8)]).std() == 0
    for early, whole in zip(late.visible.tolist(), tubes.visible.tolist(), strict=True):
        in_slice = [cells_of([token for token in early if token // 196 == t], grid) for t in range(8)]
        assert all(now >= later for now, later in pairwise(in_slice))
        assert in_slice[0] >= cells_of(whole, grid)  # the same union leaves them


def test_nothing_reads_a_value_back_and_shapes_are_fixed():
    multi_block_masks(KEYS, PUBLISHED, 0)  # settles the grid
    shapes = set()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for step in range(4):
            shapes.add(tuple(split.visible.shape for split in multi_block_masks(KEYS, PUBLISHED, step)))
    called = {event.key for event in profiler.key_averages()}
    assert not called & {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero"}
    assert len(shapes) == 1


def test_grids_without_room_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match="8 blocks of 15% leave no context on 1 x 2 tokens"):
        multi_block_masks(KEYS, TokenGrid(2, 1, 2))
    with pytest.raises(ValueError, match="drop = 'early' is not known"):
        multi_block_masks(KEYS, PUBLISHED, drop="early")


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 16), st.integers(1, 16))
def test_every_grid_is_settled_or_refused(height, width):
    try:
        layouts = [block_layout(height, width, blocks) for blocks in VJEPA_SETS]
    except ValueError:
        assume(False)
    for each, blocks in zip(layouts, VJEPA_SETS, strict=True):
        assert min(each.kept) >= 1
        assert sum(each.kept) <= height * width
        assert each.fallback.keys() == {block_size(height, width, blocks.scale, aspect) for aspect in ASPECTS}
