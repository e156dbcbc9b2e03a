"""Division of clips into cubes of pixels (tubelets, patches of time and space), and their embedding as tokens.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens of the grid, V of them; p, q, r = frames, rows,
columns of a cube; D = width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.preprocessing import Normalize
from vmae_zoo.models.uint8_clips import UInt8Clips


def patchify(video_BCTHW: Tensor, grid: TokenGrid, ids_BV: Tensor | None = None) -> Tensor:
    """Cubes of the tokens with these ids: (B, V, C, p, q, r); only they are copied.

    Ids are int64, in any order; None for all N, in order. Clips may have any dtype.

    Raises:
        ValueError: the clips have another size.
    """
    if tuple(video_BCTHW.shape[2:]) != grid.pixels:
        raise ValueError(
            f"the clips have {tuple(video_BCTHW.shape[2:])} frames, rows and columns: this model takes {grid.pixels}"
        )
    p, q, r = grid.cube
    cubes = rearrange(video_BCTHW, "b c (t p) (h q) (w r) -> b t h w c p q r", p=p, q=q, r=r)
    if ids_BV is None:
        return cubes.flatten(1, 3)
    clip_B1 = torch.arange(len(ids_BV), device=ids_BV.device)[:, None]
    slice_BV, position_BV = ids_BV // grid.per_slice, ids_BV % grid.per_slice
    return cubes[clip_B1, slice_BV, position_BV // grid.width, position_BV % grid.width]


def unpatchify(cubes_BNCpqr: Tensor, grid: TokenGrid) -> Tensor:
    """The inverse of `patchify` for all N cubes, in order: clips (B, C, T, H, W)."""
    return rearrange(
        cubes_BNCpqr, "b (t h w) c p q r -> b c (t p) (h q) (w r)", t=grid.time, h=grid.height, w=grid.width
    )


def gather_tokens(tokens_BND: Tensor, ids_BV: Tensor) -> Tensor:
    """Tokens with these ids: (B, V, D); a single row of ``tokens`` is used for all clips."""
    tokens_BND = tokens_BND.expand(len(ids_BV), -1, -1)
    return tokens_BND.gather(1, ids_BV[:, :, None].expand(-1, -1, tokens_BND.shape[2]))


class PatchEmbed(nn.Module):
    """A linear map of each cube, stored as a convolution (weight (D, C, p, q, r)) as in the official programs."""

    def __init__(self, grid: TokenGrid, dim: int):
        super().__init__()
        self.grid = grid
        self.proj = nn.Conv3d(3, dim, kernel_size=grid.cube, stride=grid.cube)

    def forward(self, video_BCTHW: Tensor, ids_BV: Tensor | None = None) -> Tensor:
        """Embed the cubes with these ids, and only those: (B, V, D); None for all."""
        if isinstance(video_BCTHW, UInt8Clips):
            return self.embed(video_BCTHW.pixels, ids_BV, video_BCTHW.normalizer)
        return self.embed(video_BCTHW, ids_BV)

    def embed(self, video_BCTHW: Tensor, ids_BV: Tensor | None, normalizer: Normalize | None = None) -> Tensor:
        """Cut, normalize if the clips are uint8, and project; `compile` compiles this as one program."""
        cubes = patchify(video_BCTHW, self.grid, ids_BV)
        if normalizer is not None:
            cubes = normalizer(cubes, channel_dim=2)
        return F.linear(cubes.flatten(2), self.proj.weight.flatten(1), self.proj.bias)

    def compile(self, **settings: Any) -> None:
        """Compile `embed`, by `torch.compile` with these settings."""
        self.embed = torch.compile(self.embed, **settings)  # type: ignore[method-assign]
