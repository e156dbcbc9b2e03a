"""The position tables hold the published values."""

import math

import pytest
import torch

from vmae_zoo.masking import TokenGrid
from vmae_zoo.models.positions import build_pos_embed
from vmae_zoo.models.sincos import sincos_1d, sincos_2d, sincos_3d


@pytest.mark.parametrize(
    ("token", "channel", "value"),
    [
        (0, 0, 0.0),
        (0, 1, 1.0),
        (1, 0, 0.841471),
        (1, 1, 0.540302),
        (1, 2, 0.828431),
        (196, 0, 0.939530),
        (1567, 766, 0.159816),
        (1567, 767, 0.987147),
    ],
)
def test_videomae_table_holds_the_golden_values(token, channel, value):
    assert sincos_1d(1568, 768)[token, channel].item() == pytest.approx(value, abs=2e-6)


def test_videomae_table_follows_its_formula_for_odd_widths():
    table = sincos_1d(50, 7)
    for token in (0, 3, 49):
        for channel in range(7):
            angle = token / 10000 ** (2 * (channel // 2) / 7)
            expected = math.sin(angle) if channel % 2 == 0 else math.cos(angle)
            assert table[token, channel].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("first", ["column", "row"])
def test_image_table_follows_its_formula(first):
    table, dim = sincos_2d(3, 5, 12, first), 12
    for token in range(15):
        row, column = divmod(token, 5)
        halves = (column, row) if first == "column" else (row, column)
        expected = [
            wave(place / 10000 ** (i / (dim / 4)))
            for place in halves
            for wave in (math.sin, math.cos)
            for i in range(3)
        ]
        assert table[token].tolist() == pytest.approx(expected, abs=1e-6)


def test_image_table_repeats_in_every_slice_of_a_clip():
    tables = build_pos_embed("sincos_2d", TokenGrid(3, 2, 2), 8)().view(3, 4, 8)
    assert torch.equal(tables, sincos_2d(2, 2, 8).expand(3, -1, -1))


def test_image_table_needs_a_width_of_fours():
    with pytest.raises(ValueError, match="a width divisible by 4, got 10"):
        sincos_2d(2, 2, 10)


def test_separable_positions_add_the_place_and_the_slice_of_a_token():
    module = build_pos_embed("separable", TokenGrid(3, 2, 2), 8)
    ids = torch.tensor([[0, 5, 11], [7, 6, 2]])
    for clip, row in enumerate(ids.tolist()):
        for n, token in enumerate(row):
            expected = module.pos_embed_spatial[0, token % 4] + module.pos_embed_temporal[0, token // 4]
            torch.testing.assert_close(module(ids)[clip, n], expected)
    torch.testing.assert_close(module().expand(2, -1, -1).gather(1, ids[:, :, None].expand(-1, -1, 8)), module(ids))


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="position = 'rotary' is not known: choose one of sincos_1d, sincos_2d"):
        build_pos_embed("rotary", TokenGrid(3, 2, 2), 8)


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("dim", [12, 64, 40])
def test_volume_table_follows_its_formula(dim, low):
    table, count = sincos_3d(3, 4, 5, dim, low), -(-dim // 6)
    for token in (0, 1, 7, 33, 59):
        axes = token // 20, token // 5 % 4, token % 5
        rates = [math.pi / 2 / 8 ** (i / max(count - 1, 1)) if low else 1 / 10000 ** (i / count) for i in range(count)]
        expected = [wave(index * rate) for index in axes for wave in (math.sin, math.cos) for rate in rates][:dim]
        assert table[token].tolist() == pytest.approx(expected, abs=1e-6)


def test_neighbours_look_less_alike_under_low_frequencies_than_under_published_ones():
    """What the option is for: on a small grid of a narrow network the published table barely tells tokens apart."""

    def likeness(table):
        units = torch.nn.functional.normalize(table - table.mean(0), dim=1)
        return (units @ units.T).fill_diagonal_(-1).amax(1).mean()

    assert likeness(sincos_3d(4, 4, 4, 64, low=True)) < likeness(sincos_3d(4, 4, 4, 64))
