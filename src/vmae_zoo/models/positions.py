"""Position tables, and what becomes of them for clips of another size.

Policy. In time, VideoMAE's table goes on counting (the slices it shares with the trained length keep their positions),
the images' table is the same in every slice, a learnt one is resized linearly. In space, every table, computed or
learnt, is resized bicubically from the rows and columns that the weights were trained with: a token keeps the position
of its place in the picture. Computing a fixed table anew, as the official programs do, would give every token another
position.

Shapes: N tokens, S places of a slice, D = width.
"""

from collections.abc import Mapping

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.patchify import gather_tokens


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


class SinCosPosEmbed(nn.Module):
    """A table that is not learnt and, as in the official programs, not saved; a class token has no position.

    Args:
        kind: see `positions`.
        grid: likewise.
        dim: likewise.
        trained: likewise.
    """

    pos_embed_class: Tensor | None = None

    def __init__(self, kind: str, grid: TokenGrid, dim: int, trained: tuple[int, int] | None = None):
        super().__init__()
        self.kind, self.grid, self.dim = kind, grid, dim
        self.register_buffer("table", torch.empty(0), persistent=False)
        self.table: Tensor
        self.resize_from(trained or (grid.height, grid.width))

    def resize_from(self, trained: tuple[int, int]) -> None:
        """Become the table of weights that were trained with these rows and columns of tokens."""
        self.trained = trained
        time, place = self.grid.time, (self.grid.height, self.grid.width)
        if self.kind == "sincos_1d":
            slices = sincos_1d(time * trained[0] * trained[1], self.dim).chunk(time)
        else:
            slices = (sincos_2d(*trained, self.dim, "row" if self.kind == "sincos_2d_rows" else "column"),) * time
        self.table = torch.cat([resize_places(table_SD, trained, place) for table_SD in slices])[None].to(self.table)

    def forward(self, ids_BV: Tensor | None = None) -> Tensor:
        """Positions of these tokens: (B, V, D), or all of them: (1, N, D)."""
        return self.table if ids_BV is None else gather_tokens(self.table, ids_BV)


class SeparablePosEmbed(nn.Module):
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


Positions = SinCosPosEmbed | SeparablePosEmbed


def add_cls_position(cls_B1D: Tensor, positions: Positions) -> Tensor:
    """A class token with its position, where it has one."""
    return cls_B1D if positions.pos_embed_class is None else cls_B1D + positions.pos_embed_class


def positions(kind: str, grid: TokenGrid, dim: int, trained: tuple[int, int] | None = None) -> Positions:
    """The position module of an encoder or decoder.

    Args:
        kind: "sincos_1d" (VideoMAE and its family), "sincos_2d" (MAE), "sincos_2d_rows" (MoCo v3 on images), both the
            same in every time slice, or "separable" (space-time MAE).
        grid: the tokens.
        dim: width.
        trained: rows and columns of tokens that the weights were trained with, from which a fixed table is resized;
            None: the grid's own.
    """
    if kind == "separable":
        return SeparablePosEmbed(grid, dim)
    if kind in ("sincos_1d", "sincos_2d", "sincos_2d_rows"):
        return SinCosPosEmbed(kind, grid, dim, trained)
    raise ValueError(
        f"positions = {kind!r} is not known: choose one of sincos_1d, sincos_2d, sincos_2d_rows, separable"
    )


def resize_places(table_SD: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """A slice's table for other rows and columns of tokens, bicubically; float32 (new S, D)."""
    if old == new:
        return table_SD
    table_1DHW = rearrange(table_SD.float(), "(h w) d -> 1 d h w", h=old[0])
    return rearrange(interpolate(table_1DHW, new, mode="bicubic", align_corners=False), "1 d h w -> (h w) d")


def resize_slices(table_TD: Tensor, slices: int) -> Tensor:
    """A learnt table of time slices for another number of them, linearly; float32 (slices, D)."""
    if len(table_TD) == slices:
        return table_TD
    return interpolate(table_TD.float().T[None], slices, mode="linear", align_corners=False)[0].T


def resize_learnt(weights: Mapping[str, Tensor], old: TokenGrid, new: TokenGrid) -> dict[str, Tensor]:
    """The weights of an encoder with its learnt positions, where it has any, for another grid."""
    resized = dict(weights)
    for name, table_1ND in weights.items():
        if name.endswith("pos_embed_spatial"):
            table_SD = resize_places(table_1ND[0], (old.height, old.width), (new.height, new.width))
            resized[name] = table_SD[None].to(table_1ND.dtype)
        elif name.endswith("pos_embed_temporal"):
            resized[name] = resize_slices(table_1ND[0], new.time)[None].to(table_1ND.dtype)
    return resized
