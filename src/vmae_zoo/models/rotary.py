"""Rotary position embedding over time, rows and columns.

RoFormer (Su et al., 2021, arXiv 2104.09864) in three dimensions, as in V-JEPA 2 (Assran et al., 2025, arXiv
2506.09985). Of the d channels of a head, the first ``2 * (d // 3 // 2)`` are rotated by the token's time index, the
next by its row, the next by its column; the rest is not rotated. Indices are integers (0, 1, 2, ...) on any grid, so
another size needs no resizing.

Adjacent channels (0, 1), (2, 3), ... form a pair. With ``frequencies="paired"``, both rotate by the same angle:
attention depends on differences of positions only. With ``"tiled"``, as in the released V-JEPA 2, the list of
frequencies is tiled over the channels, and the two channels of a pair rotate by different angles. The released weights
need it; new training does not.

Shapes: B clips, N tokens of the grid, V selected tokens; h heads, d channels of a head.
"""

import torch
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.setting_checks import check_choice

FREQUENCIES = ("paired", "tiled")

Rotation = tuple[Tensor, Tensor]  # cosines and sines, float32 (B or 1, 1, V, d)


class RotaryPosEmbed(nn.Module):
    """Cosines and sines for the tokens of a grid; nothing is learned or saved.

    Args:
        grid: the tokens.
        head_dim: channels d of an attention head; at least 6.
        frequencies: "paired", or "tiled" as in the released V-JEPA 2.

    Raises:
        ValueError: ``frequencies`` is unknown, or a head is too narrow for three axes.
    """

    kind = "rope"
    pos_embed_class: Tensor | None = None

    def __init__(self, grid: TokenGrid, head_dim: int, frequencies: str = "paired"):
        super().__init__()
        check_choice("rope_frequencies", frequencies, FREQUENCIES)
        if head_dim < 6:
            raise ValueError(
                f"rotary positions need at least 6 channels a head, got {head_dim}: use fewer heads or a larger width"
            )
        self.grid, self.head_dim, self.frequencies = grid, head_dim, frequencies
        angles_Nd = rotary_angles(grid, head_dim, frequencies)
        self.register_buffer("cosines", angles_Nd.cos().float(), persistent=False)
        self.register_buffer("sines", angles_Nd.sin().float(), persistent=False)
        self.cosines: Tensor
        self.sines: Tensor

    def add_to(self, tokens_BVD: Tensor, ids_BV: Tensor | None = None) -> Tensor:
        """The tokens unchanged: positions enter in attention."""
        return tokens_BVD

    def rotation(self, ids_BV: Tensor | None = None) -> Rotation:
        """Cosines and sines of these tokens (None: all N, in order), for `rotate`."""
        if ids_BV is None:
            return self.cosines[None, None], self.sines[None, None]
        return self.cosines[ids_BV][:, None], self.sines[ids_BV][:, None]

    def for_grid(self, grid: TokenGrid) -> "RotaryPosEmbed":
        """The same embedding for another grid."""
        return RotaryPosEmbed(grid, self.head_dim, self.frequencies).to(self.cosines.device)


def rotary_angles(grid: TokenGrid, head_dim: int, frequencies: str) -> Tensor:
    """The angle of every token and channel: float64 (N, d); 0 for channels that are not rotated."""
    axis_dim = 2 * (head_dim // 3 // 2)
    omega = 10000.0 ** (-torch.arange(axis_dim // 2, dtype=torch.float64) / (axis_dim / 2))
    omega_a = omega.repeat(2) if frequencies == "tiled" else omega.repeat_interleave(2)
    sides = [torch.arange(side, dtype=torch.float64) for side in grid.shape]
    axes_3N = torch.stack([axis.flatten() for axis in torch.meshgrid(*sides, indexing="ij")])
    angles_Na = [index_N[:, None] * omega_a for index_N in axes_3N]
    rest = torch.zeros(grid.tokens, head_dim - 3 * axis_dim, dtype=torch.float64)
    return torch.cat([*angles_Na, rest], dim=1)


def rotate(x_BhVd: Tensor, rotation: Rotation) -> Tensor:
    """Rotate the channel pairs of queries or keys: computed in float32, returned in the dtype of ``x``."""
    cosines, sines = rotation
    x = x_BhVd.float()
    rotated = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    if x.shape[-1] % 2:  # the last channel of an odd width is in no pair
        rotated = torch.cat([rotated, torch.zeros_like(x[..., :1])], dim=-1)
    return (x * cosines + rotated * sines).to(x_BhVd.dtype)
