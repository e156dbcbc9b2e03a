"""The position tables hold the published values."""

import math

import pytest

from vmae_zoo.models.positions import sincos_1d


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
