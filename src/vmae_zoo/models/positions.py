"""Position embeddings, and their adaptation to clips of another size.

* ``sincos_1d`` (VideoMAE): in time, the table continues, so that the slices shared with the trained length keep their
  positions; ``sincos_2d`` (MAE) repeats in every slice; learned tables are resized linearly in time.
* In space, these tables are resized bicubically from the rows and columns that the weights were trained with. The
  official programs compute fixed tables anew, which gives every token another position.
* ``sincos_3d`` is resized trilinearly in time and space, as in V-JEPA.
* ``rope`` needs no resizing, see `vmae_zoo.models.rotary`.

Shapes: N tokens, S tokens of a time slice, D = width.
"""

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.patchify import gather_tokens
from vmae_zoo.models.rotary import RotaryPosEmbed
from vmae_zoo.models.sincos import sincos_1d, sincos_2d, sincos_3d
from vmae_zoo.setting_checks import check_choice

KINDS = ("sincos_1d", "sincos_2d", "sincos_2d_rows", "sincos_3d", "sincos_3d_low", "separable", "rope")
Trained = tuple[int | None, int | None]  # frames, rows and columns in pixels


class _AddedPosEmbed(nn.Module):
    """A position embedding that is added to the tokens; ``forward`` returns it."""

    def add_to(self, tokens_BVD: Tensor, ids_BV: Tensor | None = None) -> Tensor:
        """The tokens with these ids (None: all N) plus their positions."""
        return tokens_BVD + self(ids_BV)

    def rotation(self, ids_BV: Tensor | None = None) -> None:
        """None: nothing is rotated in attention."""


class SinCosPosEmbed(_AddedPosEmbed):
    """A fixed table; as in the official programs it is not saved, and a class token has no position.

    Args:
        kind: see `build_pos_embed`.
        grid: the tokens.
        dim: width D.
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
        """Resize the table of weights trained with these time slices, rows and columns of tokens."""
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
        self.table = torch.cat([resize_slice(table_SD, old, new) for table_SD in slices])[None].to(self.table)

    def for_grid(self, grid: TokenGrid) -> "SinCosPosEmbed":
        """The same embedding for another grid."""
        return SinCosPosEmbed(self.kind, grid, self.dim, self.trained).to(self.table)

    def forward(self, ids_BV: Tensor | None = None) -> Tensor:
        """Positions of these tokens: (B, V, D), or of all: (1, N, D)."""
        return self.table if ids_BV is None else gather_tokens(self.table, ids_BV)


class SeparablePosEmbed(_AddedPosEmbed):
    """Learned tables for space and time, and a vector for the class token (space-time MAE)."""

    kind = "separable"

    def __init__(self, grid: TokenGrid, dim: int):
        super().__init__()
        self.grid = grid
        self.pos_embed_spatial = nn.Parameter(torch.empty(1, grid.per_slice, dim))
        self.pos_embed_temporal = nn.Parameter(torch.empty(1, grid.time, dim))
        self.pos_embed_class = nn.Parameter(torch.empty(1, 1, dim))
        for table in self.parameters():
            nn.init.trunc_normal_(table, std=0.02)

    def forward(self, ids_BV: Tensor | None = None) -> Tensor:
        """Positions of these tokens: (B, V, D), or of all: (1, N, D)."""
        if ids_BV is None:
            return (self.pos_embed_temporal[:, :, None] + self.pos_embed_spatial[:, None]).flatten(1, 2)
        slices_BV, places_BV = ids_BV // self.grid.per_slice, ids_BV % self.grid.per_slice
        return gather_tokens(self.pos_embed_spatial, places_BV) + gather_tokens(self.pos_embed_temporal, slices_BV)

    def for_grid(self, grid: TokenGrid) -> "SeparablePosEmbed":
        """The same tables, resized to another grid."""
        other = SeparablePosEmbed(grid, self.pos_embed_class.shape[2]).to(self.pos_embed_spatial)
        other.load_state_dict(resize_learned(self.state_dict(), self.grid, grid))
        return other


PosEmbed = SinCosPosEmbed | SeparablePosEmbed | RotaryPosEmbed


def add_cls_position(cls_B1D: Tensor, positions: PosEmbed) -> Tensor:
    """A class token plus its position, if it has one."""
    return cls_B1D if positions.pos_embed_class is None else cls_B1D + positions.pos_embed_class


def build_pos_embed(
    kind: str,
    grid: TokenGrid,
    dim: int,
    trained: Trained = (None, None),
    num_heads: int = 1,
    rope_frequencies: str = "paired",
) -> PosEmbed:
    """The position embedding of an encoder, decoder or predictor.

    Args:
        kind: "sincos_1d" (VideoMAE); "sincos_2d" (MAE) and "sincos_2d_rows" (MoCo v3), the same in every time slice;
            "sincos_3d" (V-JEPA); "sincos_3d_low", for small grids; "separable" (space-time MAE); "rope" (V-JEPA 2).
            See `vmae_zoo.models.sincos` and `vmae_zoo.models.rotary`.
        grid: the tokens.
        dim: width.
        trained: frames, and rows and columns in pixels, of the clips that the weights were trained on, from which a
            fixed table is resized; None: those of the grid.
        num_heads: attention heads, for "rope".
        rope_frequencies: "paired", or "tiled" as in the released V-JEPA 2.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind == "separable":
        return SeparablePosEmbed(grid, dim)
    if kind == "rope":
        return RotaryPosEmbed(grid, dim // num_heads, rope_frequencies)
    check_choice("position", kind, KINDS)
    return SinCosPosEmbed(kind, grid, dim, trained_shape(grid, trained))


def trained_shape(grid: TokenGrid, trained: Trained) -> tuple[int, int, int]:
    """Time slices, rows and columns of tokens of clips of this size, in cubes of the grid's size."""
    frames, side = trained
    cube_frames, height, width = grid.cube
    rows, columns = (grid.height, grid.width) if side is None else (side // height, side // width)
    return (grid.time if frames is None else frames // cube_frames), rows, columns


def resize_slice(table_SD: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """The table of a time slice for other rows and columns, bicubic; float32 (new S, D)."""
    if old == new:
        return table_SD
    table_1DHW = rearrange(table_SD.float(), "(h w) d -> 1 d h w", h=old[0])
    return rearrange(interpolate(table_1DHW, new, mode="bicubic", align_corners=False), "1 d h w -> (h w) d")


def resize_volume(table_ND: Tensor, old: tuple[int, int, int], new: tuple[int, int, int]) -> Tensor:
    """A table over time, rows and columns for another grid, trilinear; float32 (new N, D)."""
    if old == new:
        return table_ND
    table_1DTHW = rearrange(table_ND.float(), "(t h w) d -> 1 d t h w", t=old[0], h=old[1])
    return rearrange(interpolate(table_1DTHW, new, mode="trilinear", align_corners=False), "1 d t h w -> (t h w) d")


def resize_time(table_TD: Tensor, slices: int) -> Tensor:
    """A learned table of time slices for another number of slices, linear; float32 (slices, D)."""
    if len(table_TD) == slices:
        return table_TD
    return interpolate(table_TD.float().T[None], slices, mode="linear", align_corners=False)[0].T


def resize_learned(weights: Mapping[str, Tensor], old: TokenGrid, new: TokenGrid) -> dict[str, Tensor]:
    """Weights whose learned position tables, if any, are resized to another grid."""
    resized = dict(weights)
    for name, table_1ND in weights.items():
        if name.endswith("pos_embed_spatial"):
            table_SD = resize_slice(table_1ND[0], (old.height, old.width), (new.height, new.width))
            resized[name] = table_SD[None].to(table_1ND.dtype)
        elif name.endswith("pos_embed_temporal"):
            resized[name] = resize_time(table_1ND[0], new.time)[None].to(table_1ND.dtype)
    return resized
