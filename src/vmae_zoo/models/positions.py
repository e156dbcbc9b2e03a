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


class FixedPositions(nn.Module):
    """A table that is not learnt and, as in the official programs, not saved.

    Args:
        table_ND: float32 (N, D).
    """

    def __init__(self, table_ND: Tensor):
        super().__init__()
        self.register_buffer("table", table_ND[None], persistent=False)
        self.table: Tensor

    def forward(self, ids_BV: Tensor | None = None) -> Tensor:
        """Positions of these tokens: (B, V, D), or all of them: (1, N, D)."""
        return self.table if ids_BV is None else gather_tokens(self.table, ids_BV)


def positions(kind: str, grid: TokenGrid, dim: int) -> FixedPositions:
    """The position module of an encoder or decoder.

    Args:
        kind: "sincos_1d" (VideoMAE and its family).
        grid: the tokens.
        dim: width.
    """
    if kind == "sincos_1d":
        return FixedPositions(sincos_1d(grid.tokens, dim))
    raise ValueError(f"positions = {kind!r} is not known: choose sincos_1d")
