"""Rotary positions over time, rows and columns: attention sees how far apart two tokens lie.

Rotary embedding (Su et al., "RoFormer", 2021, arXiv 2104.09864) in three dimensions, as in V-JEPA 2 (Assran et al.,
2025, arXiv 2506.09985). Of the d channels of a head the first ``2 * (d // 3 // 2)`` turn with the token's time index,
the next as many with its row, the next with its column, the rest stay. Indices are raw (0, 1, 2, ...) on a grid of any
size, so another size needs no resizing.

Neighbouring channels (0, 1), (2, 3), ... make a pair. With ``frequencies="paired"`` both turn by the same angle, which
is a rotation: attention depends on differences of positions alone. The released V-JEPA 2 has ``"tiled"``: it tiles its
list of frequencies over the channels, so that the two channels of a pair turn by different angles. Its weights need
that; new training does not.

Shapes: B clips, N tokens of the grid, V of them; h heads, d channels of a head.
"""

import torch
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid

FREQUENCIES = ("paired", "tiled")

Rotation = tuple[Tensor, Tensor]  # cosines and sines, float32 (B or 1, 1, V, d)


class RotaryPosEmbed(nn.Module):
    """Angles of every token of a grid; nothing is learnt or saved.

    Args:
        grid: the tokens.
        head_dim: channels d of an attention head; at least 6.
        frequencies: "paired", or "tiled" as in the released V-JEPA 2.

    Raises:
        ValueError: the frequencies are not known, or a head is too narrow for three axes.
    """

    kind = "rope"
    pos_embed_class: Tensor | None = None

    def __init__(self, grid: TokenGrid, head_dim: int, frequencies: str = "paired"):
        super().__init__()
        if frequencies not in FREQUENCIES:
            raise ValueError(f"rope_frequencies = {frequencies!r} is not known: choose {' or '.join(FREQUENCIES)}")
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
        """The tokens as they are: rotary positions enter in attention alone."""
        return tokens_BVD

    def rotation(self, ids_BV: Tensor | None = None) -> Rotation:
        """What `rotate` takes for these tokens; None: for all N, in order."""
        if ids_BV is None:
            return self.cosines[None, None], self.sines[None, None]
        return self.cosines[ids_BV][:, None], self.sines[ids_BV][:, None]

    def for_grid(self, grid: TokenGrid) -> "RotaryPosEmbed":
        """The same on another grid."""
        return RotaryPosEmbed(grid, self.head_dim, self.frequencies).to(self.cosines.device)


def rotary_angles(grid: TokenGrid, head_dim: int, frequencies: str) -> Tensor:
    """The angle of every token and channel: float64 (N, d); 0 for channels that stay.

    Args:
        grid: the tokens.
        head_dim: channels d of an attention head.
        frequencies: see `RotaryPosEmbed`.
    """
    axis_dim = 2 * (head_dim // 3 // 2)
    omega = 10000.0 ** (-torch.arange(axis_dim // 2, dtype=torch.float64) / (axis_dim / 2))
    omega_a = omega.repeat(2) if frequencies == "tiled" else omega.repeat_interleave(2)
    sides = [torch.arange(side, dtype=torch.float64) for side in grid.shape]
    axes_3N = torch.stack([axis.flatten() for axis in torch.meshgrid(*sides, indexing="ij")])
    angles_Na = [index_N[:, None] * omega_a for index_N in axes_3N]
    stay = torch.zeros(grid.tokens, head_dim - 3 * axis_dim, dtype=torch.float64)
    return torch.cat([*angles_Na, stay], dim=1)


def rotate(x_BhVd: Tensor, rotation: Rotation) -> Tensor:
    """Turn the channel pairs of queries or keys; computed in float32, returned in the dtype of ``x``."""
    cosines, sines = rotation
    x = x_BhVd.float()
    turned = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    if x.shape[-1] % 2:  # the last channel of an odd width has no partner, and stays
        turned = torch.cat([turned, torch.zeros_like(x[..., :1])], dim=-1)
    return (x * cosines + turned * sines).to(x_BhVd.dtype)
