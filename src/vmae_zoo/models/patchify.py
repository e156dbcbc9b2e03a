"""Cutting clips into cubes of pixels, and embedding cubes as tokens.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens of the grid, V of them; p, q, r = frames, rows,
columns of one cube; D = width.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid


def patchify(video_BCTHW: Tensor, grid: TokenGrid, ids_BV: Tensor | None = None) -> Tensor:
    """The cubes with these token ids, as (B, V, C, p, q, r); only they are copied.

    Args:
        video_BCTHW: a clip of the grid's size in pixels; any dtype.
        grid: how it is cut.
        ids_BV: int64 (B, V) token ids in any order; None: all N, in order.

    Raises:
        ValueError: the clip is not of the grid's size.
    """
    if tuple(video_BCTHW.shape[2:]) != grid.pixels:
        raise ValueError(
            f"the clip is {tuple(video_BCTHW.shape[2:])} frames x rows x columns, this model takes {grid.pixels}"
        )
    p, q, r = grid.cube
    cubes = rearrange(video_BCTHW, "b c (t p) (h q) (w r) -> b t h w c p q r", p=p, q=q, r=r)
    if ids_BV is None:
        return cubes.flatten(1, 3)
    clips_B1 = torch.arange(len(ids_BV), device=ids_BV.device)[:, None]
    slices_BV, places_BV = ids_BV // grid.per_slice, ids_BV % grid.per_slice
    return cubes[clips_B1, slices_BV, places_BV // grid.width, places_BV % grid.width]


def unpatchify(cubes_BNCpqr: Tensor, grid: TokenGrid) -> Tensor:
    """The clip (B, C, T, H, W) that all N cubes make, in order: the inverse of `patchify`."""
    return rearrange(
        cubes_BNCpqr, "b (t h w) c p q r -> b c (t p) (h q) (w r)", t=grid.time, h=grid.height, w=grid.width
    )


def gather_tokens(tokens_BND: Tensor, ids_BV: Tensor) -> Tensor:
    """The tokens with these ids: (B, V, D); ``tokens`` may have one row for all clips."""
    tokens_BND = tokens_BND.expand(len(ids_BV), -1, -1)
    return tokens_BND.gather(1, ids_BV[:, :, None].expand(-1, -1, tokens_BND.shape[2]))


class PatchEmbed(nn.Module):
    """One linear map per cube, stored as the convolution it is in the official programs (weight (D, C, p, q, r)).

    Args:
        grid: how clips are cut.
        dim: width D of the tokens.
        channels: colour channels C.
    """

    def __init__(self, grid: TokenGrid, dim: int, channels: int = 3):
        super().__init__()
        self.grid = grid
        self.proj = nn.Conv3d(channels, dim, kernel_size=grid.cube, stride=grid.cube)

    def forward(self, video_BCTHW: Tensor, ids_BV: Tensor | None = None) -> Tensor:
        """Embed the cubes with these ids (None: all), and only those: (B, V, D)."""
        cubes = patchify(video_BCTHW, self.grid, ids_BV)
        return F.linear(cubes.flatten(2), self.proj.weight.flatten(1), self.proj.bias)
