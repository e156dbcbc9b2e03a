"""Position tables, and what becomes of them for clips of another size.

Policy. In time, VideoMAE's table goes on counting (the slices it shares with the trained length keep their positions),
the images' table is the same in every slice, a learnt one is resized linearly. In space, every table, computed or
learnt, is resized bicubically from the rows and columns that the weights were trained with: a token keeps the position
of its place in the picture. Computing a fixed table anew, as the official programs do, would give every token another
position. Tables over three axes (sincos_3d) are resized trilinearly in time and space, as V-JEPA does. Rotary positions
(`vmae_zoo.models.rotary`) go on counting along every axis.

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
from vmae_zoo.models.rotary import RotaryPosEmbed


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


def sincos_3d(time: int, height: int, width: int, dim: int, low: bool = False) -> Tensor:
    """A table over time, rows and columns, float32 (time * height * width, dim). Computed in float64.

    Each axis has ``2 * ceil(dim / 6)`` channels, first the sines, then the cosines, in the order time, row, column;
    what exceeds ``dim`` is cut off.

    Args:
        time: time slices.
        height: rows of tokens.
        width: columns of tokens.
        dim: channels.
        low: frequencies fall from pi / 2 to pi / 16 per token, so that every channel varies over a small grid; False:
            from 1 to 1 / 10000, as in V-JEPA (Bardes et al., 2024, arXiv 2404.08471).
    """
    count = -(-dim // 6)
    share_K = np.arange(count) / max(count - 1 if low else count, 1)
    rates_K = np.pi / 2 * 8.0**-share_K if low else 10000.0**-share_K
    axes_3N = np.indices((time, height, width)).reshape(3, -1)
    angles = [axis_N[:, None] * rates_K for axis_N in axes_3N]
    table_ND = np.concatenate([wave(a) for a in angles for wave in (np.sin, np.cos)], axis=1)[:, :dim]
    return torch.from_numpy(table_ND).float()


class SinCosPosEmbed(nn.Module):
    """A table that is not learnt and, as in the official programs, not saved; a class token has no position.

    Args:
        kind: see `positions`.
        grid: likewise.
        dim: likewise.
        trained: time slices, rows and columns of tokens that the weights were trained with; None: the grid's.
    """

    pos_embed_class: Tensor | None = None

    def __init__(self, kind: str, grid: TokenGrid, dim: int, trained: tuple[int, int, int] | None = None):
        super().__init__()
        self.kind, self.grid, self.dim = kind, grid, dim
        self.register_buffer("table", torch.empty(0), persistent=False)
        self.table: Tensor
        self.resize_from(trained or grid.shape)

    def resize_from(self, trained: tuple[int, int, int]) -> None:
        """Become the table of weights that were trained with so many time slices, rows and columns of tokens."""
        self.trained = trained
        time, old, new = self.grid.time, trained[1:], (self.grid.height, self.grid.width)
        if self.kind in ("sincos_3d", "sincos_3d_low"):
            table_ND = sincos_3d(*trained, self.dim, low=self.kind == "sincos_3d_low")
            self.table = resize_volume(table_ND, trained, self.grid.shape)[None].to(self.table)
            return
        if self.kind == "sincos_1d":
            slices = sincos_1d(time * old[0] * old[1], self.dim).chunk(time)
        else:
            slices = (sincos_2d(*old, self.dim, "row" if self.kind == "sincos_2d_rows" else "column"),) * time
        self.table = torch.cat([resize_places(table_SD, old, new) for table_SD in slices])[None].to(self.table)

    def add_to(self, tokens_BVD: Tensor, ids_BV: Tensor | None = None) -> Tensor:
        """The tokens with these ids (None: all N), with their positions added."""
        return tokens_BVD + self(ids_BV)

    def rotation(self, ids_BV: Tensor | None = None) -> None:
        """Nothing turns in attention, see `vmae_zoo.models.rotary`."""

    def for_grid(self, grid: TokenGrid) -> "SinCosPosEmbed":
        """The same on another grid, resized from what the weights were trained with."""
        return SinCosPosEmbed(self.kind, grid, self.dim, self.trained).to(self.table)

    def forward(self, ids_BV: Tensor | None = None) -> Tensor:
        """Positions of these tokens: (B, V, D), or all of them: (1, N, D)."""
        return self.table if ids_BV is None else gather_tokens(self.table, ids_BV)


class SeparablePosEmbed(nn.Module):
    """A learnt table for places plus one for time slices, and one vector for the class token (space-time MAE).

    Args:
        grid: the tokens.
        dim: width D.
    """

    kind = "separable"

    def __init__(self, grid: TokenGrid, dim: int):
        super().__init__()
        self.grid, self.places = grid, grid.per_slice
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

    def add_to(self, tokens_BVD: Tensor, ids_BV: Tensor | None = None) -> Tensor:
        """The tokens with these ids (None: all N), with their positions added."""
        return tokens_BVD + self(ids_BV)

    def rotation(self, ids_BV: Tensor | None = None) -> None:
        """Nothing turns in attention, see `vmae_zoo.models.rotary`."""

    def for_grid(self, grid: TokenGrid) -> "SeparablePosEmbed":
        """The same tables, resized to another grid."""
        other = SeparablePosEmbed(grid, self.pos_embed_class.shape[2]).to(self.pos_embed_spatial)
        other.load_state_dict(resize_learnt(self.state_dict(), self.grid, grid))
        return other


Positions = SinCosPosEmbed | SeparablePosEmbed | RotaryPosEmbed
Trained = tuple[int | None, int | None]  # frames, rows and columns
KINDS = ("sincos_1d", "sincos_2d", "sincos_2d_rows", "sincos_3d", "sincos_3d_low", "separable", "rope")


def add_cls_position(cls_B1D: Tensor, positions: Positions) -> Tensor:
    """A class token with its position, where it has one."""
    return cls_B1D if positions.pos_embed_class is None else cls_B1D + positions.pos_embed_class


def positions(
    kind: str,
    grid: TokenGrid,
    dim: int,
    trained: Trained = (None, None),
    num_heads: int = 1,
    rope_frequencies: str = "paired",
) -> Positions:
    """The position module of an encoder or decoder.

    Args:
        kind: "sincos_1d" (VideoMAE and its family); "sincos_2d" (MAE), "sincos_2d_rows" (MoCo v3 on images), both the
            same in every time slice; "sincos_3d" (V-JEPA); "sincos_3d_low", the same with frequencies for small grids,
            see `sincos_3d`; "separable" (space-time MAE); or "rope" (V-JEPA 2), see `vmae_zoo.models.rotary`.
        grid: the tokens.
        dim: width.
        trained: frames, and rows and columns in pixels, of the clips that the weights were trained on, from which a
            fixed table is resized; None: as many as the grid covers.
        num_heads: of the attention, for "rope".
        rope_frequencies: "paired", or "tiled" as in the released V-JEPA 2.

    Raises:
        ValueError: the kind is not known.
    """
    if kind == "separable":
        return SeparablePosEmbed(grid, dim)
    if kind == "rope":
        return RotaryPosEmbed(grid, dim // num_heads, rope_frequencies)
    if kind in KINDS:
        return SinCosPosEmbed(kind, grid, dim, trained_shape(grid, trained))
    raise ValueError(f"positions = {kind!r} is not known: choose one of {', '.join(KINDS)}")


def trained_shape(grid: TokenGrid, trained: Trained) -> tuple[int, int, int]:
    """Time slices, rows and columns of tokens of clips of this size, cut as the grid is."""
    frames, side = trained
    _, height, width = grid.cube
    rows, columns = (grid.height, grid.width) if side is None else (side // height, side // width)
    return (grid.time if frames is None else frames // grid.cube[0]), rows, columns


def resize_places(table_SD: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """A slice's table for other rows and columns of tokens, bicubically; float32 (new S, D)."""
    if old == new:
        return table_SD
    table_1DHW = rearrange(table_SD.float(), "(h w) d -> 1 d h w", h=old[0])
    return rearrange(interpolate(table_1DHW, new, mode="bicubic", align_corners=False), "1 d h w -> (h w) d")


def resize_volume(table_ND: Tensor, old: tuple[int, int, int], new: tuple[int, int, int]) -> Tensor:
    """A table over time, rows and columns for another grid, trilinearly; float32 (new N, D)."""
    if old == new:
        return table_ND
    table_1DTHW = rearrange(table_ND.float(), "(t h w) d -> 1 d t h w", t=old[0], h=old[1])
    return rearrange(interpolate(table_1DTHW, new, mode="trilinear", align_corners=False), "1 d t h w -> (t h w) d")


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
