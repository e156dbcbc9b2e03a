"""Sine-cosine position tables. Computed in float64, returned in float32."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor


def sincos_1d(tokens: int, dim: int) -> Tensor:
    """VideoMAE's table over the flat token index: (tokens, dim).

    ``angle(p, j) = p / 10000^(2 floor(j / 2) / dim)``; even channels hold its sine, odd channels its cosine.
    """
    rates_D = 10000.0 ** (-2.0 * (np.arange(dim) // 2) / dim)
    angles_ND = np.arange(tokens)[:, None] * rates_D
    angles_ND[:, 0::2] = np.sin(angles_ND[:, 0::2])
    angles_ND[:, 1::2] = np.cos(angles_ND[:, 1::2])
    return torch.from_numpy(angles_ND).float()


def sincos_2d(height: int, width: int, dim: int, first: str = "column") -> Tensor:
    """MAE's table for images, (height * width, dim): half of the channels for each axis, sines before cosines.

    The channels of one axis are ``[sin(p w), cos(p w)]`` with ``w_i = 10000^(-i / (dim / 4))``.

    The axis of the first half of the channels is "column" (MAE) or "row" (MoCo v3); ``dim`` is a multiple of 4.
    """
    if dim % 4:
        raise ValueError(f"2-D sine-cosine positions need a width divisible by 4, got {dim}: choose another width")
    rates_Q = 10000.0 ** (-np.arange(dim // 4) / (dim / 4))
    rows_N, columns_N = np.divmod(np.arange(height * width), width)
    return _sines_cosines((columns_N, rows_N) if first == "column" else (rows_N, columns_N), rates_Q)


def sincos_3d(time: int, height: int, width: int, dim: int, low: bool = False) -> Tensor:
    """A table over time, rows and columns, (time * height * width, dim).

    Each axis has ``2 * ceil(dim / 6)`` channels, sines before cosines, in the order time, row, column, cut to ``dim``.

    With ``low``, frequencies from pi / 2 down to pi / 16 per token, so that every channel varies over a small grid;
    else from 1 to 1 / 10000, as in V-JEPA (Bardes et al., 2024, arXiv 2404.08471).
    """
    count = -(-dim // 6)
    share_K = np.arange(count) / max(count - 1 if low else count, 1)
    rates_K = np.pi / 2 * 8.0**-share_K if low else 10000.0**-share_K
    return _sines_cosines(np.indices((time, height, width)).reshape(3, -1), rates_K)[:, :dim]


def _sines_cosines(axes_AN: Iterable[np.ndarray], rates_K: np.ndarray) -> Tensor:
    """Per axis the sines, then the cosines, of index times rate: (N, 2 A K)."""
    angles = [axis_N[:, None] * rates_K for axis_N in axes_AN]
    return torch.from_numpy(np.concatenate([wave(a) for a in angles for wave in (np.sin, np.cos)], axis=1)).float()
