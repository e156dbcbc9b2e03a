"""Rotary positions: which channels turn, by which angle, and what attention can tell from it."""

import copy

import pytest
import torch

from vmae_zoo.masking import TokenGrid
from vmae_zoo.models.blocks import Attention
from vmae_zoo.models.encoder import Encoder, resized
from vmae_zoo.models.rotary import RotaryPosEmbed, rotary_angles, rotate

GRID = TokenGrid(4, 5, 6)


@pytest.mark.parametrize(("head_dim", "per_axis"), [(64, 20), (80, 26), (32, 10), (24, 8), (6, 2)])
def test_channels_are_shared_among_time_rows_and_columns(head_dim, per_axis):
    angles = rotary_angles(GRID, head_dim, "paired").view(4, 5, 6, head_dim)
    moved = {
        "time": (angles[1:] != angles[:-1]).any(0).flatten(0, 1).any(0),
        "row": (angles[:, 1:] != angles[:, :-1]).flatten(0, 2).any(0),
        "column": (angles[:, :, 1:] != angles[:, :, :-1]).flatten(0, 2).any(0),
    }
    for place, name in enumerate(moved):
        expected = torch.zeros(head_dim, dtype=torch.bool)
        expected[place * per_axis : (place + 1) * per_axis] = True
        assert torch.equal(moved[name], expected), name


@pytest.mark.parametrize("frequencies", ["paired", "tiled"])
def test_a_turn_follows_the_formula(frequencies):
    """Token (t, h, w) = (3, 0, 0): pair k of the first axis turns by 3 * 10000^-(f / 5), f as the kind says."""
    head_dim, per_axis = 32, 10
    module = RotaryPosEmbed(GRID, head_dim, frequencies)
    x = torch.randn(1, 1, 1, head_dim, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, module.rotation(torch.tensor([[3 * 30]])))[0, 0, 0]
    expected = x[0, 0, 0].clone()
    for channel in range(0, per_axis, 2):
        a, b = x[0, 0, 0, channel], x[0, 0, 0, channel + 1]
        first, second = (channel // 2, channel // 2) if frequencies == "paired" else (channel % 5, (channel + 1) % 5)
        one, other = (torch.tensor(3 * 10000 ** -(place / 5)) for place in (first, second))
        expected[channel] = a * one.cos() - b * one.sin()
        expected[channel + 1] = b * other.cos() + a * other.sin()
    torch.testing.assert_close(turned, expected)


@pytest.mark.parametrize(("frequencies", "relative"), [("paired", True), ("tiled", False)])
def test_only_paired_frequencies_leave_logits_unchanged_when_every_row_index_moves(frequencies, relative):
    module = RotaryPosEmbed(TokenGrid(2, 12, 3), 64, frequencies).double()
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 1, 18, 64, generator=generator, dtype=torch.float64) for _ in range(2))
    ids = torch.cat([torch.arange(9), 36 + torch.arange(9)])[None]
    logits = []
    for moved in (ids, ids + 5 * 3):  # five rows further down
        angles = rotary_angles(module.grid, 64, frequencies)[moved[0]]
        rotation = angles.cos(), angles.sin()
        rotated = [
            each * rotation[0] + torch.stack([-each[..., 1::2], each[..., ::2]], -1).flatten(-2) * rotation[1]
            for each in (q, k)
        ]
        logits.append(rotated[0] @ rotated[1].mT)
    difference = (logits[0] - logits[1]).abs().max()
    assert (difference < 1e-12) if relative else (difference > 1)


def test_attention_turns_queries_and_keys_alone():
    torch.manual_seed(0)
    attention, module = Attention(32, 1, "qkv"), RotaryPosEmbed(GRID, 32)
    x, ids = torch.randn(2, 7, 32), torch.randint(0, GRID.tokens, (2, 7))
    rotation = module.rotation(ids)
    q, k, v = (each[:, None] for each in attention.qkv(x).chunk(3, dim=-1))
    weights = (rotate(q, rotation) @ rotate(k, rotation).mT / 32**0.5).softmax(-1)
    torch.testing.assert_close(attention(x, rotation=rotation), attention.proj((weights @ v)[:, 0]))


def test_tables_are_float32_and_results_keep_the_dtype_of_the_input():
    module = RotaryPosEmbed(GRID, 32)
    assert module.cosines.dtype == module.sines.dtype == torch.float32
    assert not module.state_dict()
    assert rotate(torch.randn(1, 1, GRID.tokens, 32).bfloat16(), module.rotation()).dtype == torch.bfloat16


def test_unknown_frequencies_and_narrow_heads_are_refused():
    with pytest.raises(ValueError, match="rope_frequencies = 'spiral' is not known"):
        RotaryPosEmbed(GRID, 32, "spiral")
    with pytest.raises(ValueError, match="at least 6 channels a head, got 4"):
        RotaryPosEmbed(GRID, 4)


def encoder(**settings):
    torch.manual_seed(0)
    return Encoder(TokenGrid(4, 4, 4, (2, 8, 8)), 24, 2, 2, position="rope", bias="qkv", **settings).eval()


@pytest.mark.parametrize("frequencies", ["paired", "tiled"])
def test_visible_tokens_turn_by_their_own_ids(frequencies):
    """One block over a subset equals the full computation with everything else masked out."""
    model = encoder(rope_frequencies=frequencies)
    clip = torch.randn(2, 3, 8, 32, 32)
    ids = torch.stack([torch.randperm(64)[:10] for _ in range(2)])
    for row in range(2):
        mask = torch.zeros(64, 64, dtype=torch.bool)
        mask[:, ids[row]] = True
        whole = model(clip[row : row + 1], mask=mask)[0, ids[row]]
        torch.testing.assert_close(model(clip, ids)[row], whole, atol=1e-5, rtol=1e-5)


def test_another_size_keeps_counting_and_needs_no_resizing():
    model = encoder(rope_frequencies="tiled")
    other = resized(model, 12, 24, 48)
    assert other.positions.frequencies == "tiled"
    assert other.positions.grid.shape == (6, 3, 6)
    new, old = (each.positions.cosines.view(*each.grid.shape, -1) for each in (other, model))
    assert torch.equal(new[:4, :, :4], old[:, :3])
    assert other(torch.randn(1, 3, 12, 24, 48)).shape == (1, 108, 24)


def test_gradient_checkpointing_changes_nothing():
    model = encoder().train()
    twin, clip = copy.deepcopy(model), torch.randn(1, 3, 8, 32, 32)
    twin.gradient_checkpointing = True
    for each in (model, twin):
        each(clip).square().mean().backward()
    torch.testing.assert_close(model.blocks[0].attn.qkv.weight.grad, twin.blocks[0].attn.qkv.weight.grad)


@pytest.mark.parametrize("settings", [{"attention": "divided"}, {"cls_token": True}])
def test_divided_attention_and_class_tokens_are_refused(settings):
    with pytest.raises(ValueError, match="position = rope"):
        encoder(**settings)
