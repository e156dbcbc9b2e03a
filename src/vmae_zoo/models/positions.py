"""Position tables.

Shapes: N tokens, D = width.
"""

import numpy as np
import torch
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.cubes import gather_tokens


def sincos_1d(tokens: int, dim: int) -> Tensor:
    """VideoMAE's table over the flat token index: float32 (tokens, dim).

    ``angle(p, j) = p / 10000^(2 floor(j / 2) / dim)``; even channels hold its sine, odd ones its cosine. Computed in
    float64.
    """
    rates_D = 10000.0 ** (-2.0 * (np.arange(dim) // 2) / dim)
    angles_ND = np.arange(tokens)[:, None] * rates_D
    angles_ND[:, 0::2] = np.sin(angles_ND[:, 0::2])
    angles_ND[:, 1::2] = np.cos(angles_ND[:, 1::2])
    return torch.from_numpy(angles_ND).float()


def sincos_2d(height: int, width: int, dim: int, first: str = "column") -> Tensor:
    """The images' table, float32 (height * width, dim): half of the channels for each axis, sines before cosines.

    The channels of one axis are ``[sin(p w), cos(p w)]`` with ``w_i = 10000^(-i / (dim / 4))``. Computed in float64.

    Args:
        height: rows of tokens.
        width: columns of tokens.
        dim: channels, a multiple of 4.
        first: the axis in the first half: "column" (MAE) or "row" (MoCo v3).
    """
    if dim % 4:
        raise ValueError(f"2-D sine-cosine positions need a width that 4 divides, got {dim}: choose another width")
    rates_Q = 10000.0 ** (-np.arange(dim // 4) / (dim / 4))
    rows_N, columns_N = np.divmod(np.arange(height * width), width)
    axes = (columns_N, rows_N) if first == "column" else (rows_N, columns_N)
    angles = [axis_N[:, None] * rates_Q for axis_N in axes]
    return torch.from_numpy(np.concatenate([wave(a) for a in angles for wave in (np.sin, np.cos)], axis=1)).float()


class FixedPositions(nn.Module):
    """A table that is not learnt and, as in the official programs, not saved; a class token has no position.

    Args:
        table_ND: float32 (N, D).
    """

    pos_embed_class: Tensor | None = None

    def __init__(self, table_ND: Tensor):
        super().__init__()
        self.register_buffer("table", table_ND[None], persistent=False)
        self.table: Tensor

    def forward(self, ids_BV: Tensor | None = None) -> Tensor:
        """Positions of these tokens: (B, V, D), or all of them: (1, N, D)."""
        return self.table if ids_BV is None else gather_tokens(self.table, ids_BV)


class SeparablePositions(nn.Module):
    """A learnt table for places plus one for time slices, and one vector for the class token (space-time MAE).

    Args:
        grid: the tokens.
        dim: width D.
    """

    def __init__(self, grid: TokenGrid, dim: int):
        super().__init__()
        self.places = grid.per_slice
        self.pos_embed_spatial = nn.Parameter(torch.empty(1, grid.per_slice, dim))
        self.pos_embed_temporal = nn.Parameter(torch.empty(1, grid.time, dim))
        self.pos_embed_class = nn.Parameter(torch.empty(1, 1, dim))
        for table in self.parameters():
            nn.init.trunc_normal_(table, std=0.02)

    def forward(self, ids_BV: Tensor | None = None) -> Tensor:
        """Positions of these tokens: (B, V, D), or all of them: (1, N, D)."""
        if ids_BV is None:
            return (self.pos_embed_temporal[:, :, None] + self.pos_embed_spatial[:, None]).flatten(1, 2)
        slices_BV, places_BV = ids_BV // self.places, ids_BV % self.places
        return gather_tokens(self.pos_embed_spatial, places_BV) + gather_tokens(self.pos_embed_temporal, slices_BV)


Positions = FixedPositions | SeparablePositions


def with_position(cls_B1D: Tensor, positions: Positions) -> Tensor:
    """A class token with its position, where it has one."""
    return cls_B1D if positions.pos_embed_class is None else cls_B1D + positions.pos_embed_class


def positions(kind: str, grid: TokenGrid, dim: int) -> Positions:
    """The position module of an encoder or decoder.

    Args:
        kind: "sincos_1d" (VideoMAE and its family), "sincos_2d" (MAE), "sincos_2d_rows" (MoCo v3 on images), both the
            same in every time slice, or "separable" (space-time MAE).
        grid: the tokens.
        dim: width.
    """
    if kind == "sincos_1d":
        return FixedPositions(sincos_1d(grid.tokens, dim))
    if kind in ("sincos_2d", "sincos_2d_rows"):
        first = "row" if kind == "sincos_2d_rows" else "column"
        return FixedPositions(sincos_2d(grid.height, grid.width, dim, first).repeat(grid.time, 1))
    if kind == "separable":
        return SeparablePositions(grid, dim)
    raise ValueError(
        f"positions = {kind!r} is not known: choose one of sincos_1d, sincos_2d, sincos_2d_rows, separable"
    )
