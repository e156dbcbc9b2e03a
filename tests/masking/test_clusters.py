"""Clusters: published counts, a partition of the grid, and an order for each clip."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmae_zoo.masking import TokenGrid, cluster_order
from vmae_zoo.masking.clusters import block_causal_mask, cluster_tokens, fixed_order
from vmae_zoo.randomness import sample_key

GRID = TokenGrid(8, 14, 14)
KEYS = torch.tensor([sample_key(0, 0, n) for n in range(8)])
SHAPES = {  # of the paper's table 6: clusters, tokens of one, kept at a drop of 0.8
    (1, 1, 1): (1568, 1, 1),
    (1, 14, 14): (8, 196, 40),
    (1, 7, 7): (32, 49, 10),
    (8, 1, 1): (196, 8, 2),
    (2, 1, 1): (784, 2, 1),
    (4, 7, 7): (8, 196, 40),
    (2, 7, 7): (16, 98, 20),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_the_ablation_have_their_counts(shape):
    clusters, size, kept = SHAPES[shape]
    assert cluster_tokens(GRID, shape).shape == (clusters, size)
    sampled = cluster_order(KEYS[:2], GRID, shape)
    assert sampled.order.shape == (2, clusters)
    assert sampled.kept.shape == (2, clusters, kept)


@pytest.mark.parametrize("shape", SHAPES)
def test_clusters_are_boxes_numbered_row_major(shape):
    tokens = cluster_tokens(GRID, shape)
    assert torch.equal(tokens.flatten().sort().values, torch.arange(1568))
    p, q, r = shape
    for cluster in range(0, len(tokens), max(len(tokens) // 5, 1)):
        t, h, w = cluster // (14 // q * (14 // r)), cluster // (14 // r) % (14 // q), cluster % (14 // r)
        box = [(t * p + i) * 196 + (h * q + j) * 14 + w * r + k for i in range(p) for j in range(q) for k in range(r)]
        assert tokens[cluster].tolist() == box


@given(
    st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]), st.sampled_from([1, 3])),
    st.sampled_from(["random", "spatial_first", "temporal_first"]),
    st.floats(0, 0.95),
)
def test_kept_tokens_belong_to_their_cluster_and_ascend(shape, order, drop):
    grid = TokenGrid(4, 6, 3)
    sampled = cluster_order(KEYS, grid, shape, order, drop)
    tokens = cluster_tokens(grid, shape)
    assert torch.equal(sampled.order.sort(1).values, torch.arange(len(tokens)).expand(8, -1))
    size = tokens.shape[1]
    assert sampled.kept.shape[2] == size - int(drop * size)
    assert torch.equal(sampled.kept, sampled.kept.sort(2).values)
    for clip in range(8):
        for step, cluster in enumerate(sampled.order[clip].tolist()):
            kept = sampled.kept[clip, step].tolist()
            assert set(kept) <= set(tokens[cluster].tolist())
            assert len(set(kept)) == len(kept)


def test_orders_and_kept_tokens_are_functions_of_the_key():
    sampled, again = cluster_order(KEYS, GRID), cluster_order(KEYS[3:4], GRID)
    assert torch.equal(sampled.order[3:4], again.order)
    assert torch.equal(sampled.kept[3:4], again.kept)
    assert len({tuple(row.tolist()) for row in sampled.order}) == 8
    fixed = cluster_order(KEYS, GRID, order="spatial_first")
    assert len({tuple(row.flatten().tolist()) for row in fixed.kept}) == 8


def test_fixed_orders_are_row_major_in_time_or_in_space():
    assert fixed_order(GRID, (2, 7, 7), "spatial_first").tolist() == list(range(16))
    expected = [t * 4 + place for place in range(4) for t in range(4)]
    assert fixed_order(GRID, (2, 7, 7), "temporal_first").tolist() == expected


def test_block_causal_mask_equals_its_definition():
    mask = block_causal_mask(3, 2, 4)
    for row in range(6):
        for column in range(12):
            assert mask[row, column].item() == (column // 4 <= row // 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cluster": (3, 7, 7)}, r"cluster = \(3, 7, 7\) .* \(8, 14, 14\)"),
        ({"cluster": (0, 7, 7)}, r"cluster = \(0, 7, 7\)"),
        ({"order": "backwards"}, "order = 'backwards'"),
        ({"drop": 1.0}, "drop = 1.0"),
    ],
)
def test_invalid_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        cluster_order(KEYS, GRID, **arguments)
