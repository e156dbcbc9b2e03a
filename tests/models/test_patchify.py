"""Cubes equal those of a brute-force loop, and their embedding equals the convolution."""

import pytest
import torch

from vmae_zoo.masking import TokenGrid
from vmae_zoo.models.patchify import PatchEmbed, patchify, unpatchify
from vmae_zoo.models.targets import normalized_cubes, undo_normalized_cubes

GRID = TokenGrid(2, 3, 2, cube=(2, 4, 4))
VIDEO = torch.randn(2, 3, *GRID.pixels, generator=torch.Generator().manual_seed(0))


def test_cubes_are_row_major_over_time_height_width():
    cubes = patchify(VIDEO, GRID)
    for token in range(GRID.tokens):
        t, h, w = token // 6, token % 6 // 2, token % 2
        expected = VIDEO[:, :, 2 * t : 2 * t + 2, 4 * h : 4 * h + 4, 4 * w : 4 * w + 4]
        assert torch.equal(cubes[:, token], expected)
    assert torch.equal(unpatchify(cubes, GRID), VIDEO)


def test_embedding_some_cubes_equals_the_convolution_at_their_positions():
    embed = PatchEmbed(GRID, dim=5)
    ids = torch.tensor([[0, 7, 3], [11, 2, 2]])
    dense = embed.proj(VIDEO).flatten(2).transpose(1, 2)
    expected = torch.stack([dense[0, ids[0]], dense[1, ids[1]]])
    torch.testing.assert_close(embed(VIDEO, ids), expected, atol=1e-6, rtol=1e-5)


def test_a_clip_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 12, 12\).*\(4, 12, 8\)"):
        patchify(torch.zeros(1, 3, 4, 12, 12), GRID)


def test_targets_have_mean_0_and_standard_deviation_1_per_channel():
    pixels = patchify(VIDEO, GRID)
    values = normalized_cubes(pixels).view(2, 12, 2, 4, 4, 3)
    assert values.mean((2, 3, 4)).abs().max() < 1e-5
    assert (values.flatten(2, 4).var(2, unbiased=True) - 1).abs().max() < 1e-4
    torch.testing.assert_close(undo_normalized_cubes(values.flatten(2), pixels), pixels)


def test_a_constant_cube_has_target_0():
    assert torch.equal(normalized_cubes(torch.full((1, 1, 3, 2, 4, 4), 0.5)), torch.zeros(1, 1, 96))
