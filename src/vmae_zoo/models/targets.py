"""Targets of decoders, made of pixels.

Shapes: B clips, M tokens, C channels; p, q, r = frames, rows, columns of a cube.
"""

import torch
from einops import rearrange
from torch import Tensor

_EPS = 1e-6


def normalized_cubes(pixels_BMCpqr: Tensor) -> Tensor:
    """VideoMAE's targets, as of `cube_values`, of pixels in [0, 1].

    Each channel of each cube has mean 0 and standard deviation 1 (unbiased, plus 1e-6).
    """
    return cube_values((pixels_BMCpqr - _mean(pixels_BMCpqr)) / _std(pixels_BMCpqr))


def normalized_patches(cubes_BMCpqr: Tensor) -> Tensor:
    """MAE's targets, as of `cube_values`, of the normalized input of the network.

    Each cube, over all channels, has mean 0 and variance 1 (unbiased, plus 1e-6).
    """
    values_BMK = cube_values(cubes_BMCpqr)
    variance, mean = torch.var_mean(values_BMK, dim=-1, keepdim=True)
    return (values_BMK - mean) / (variance + _EPS).sqrt()


def undo_normalized_cubes(values_BMK: Tensor, pixels_BMCpqr: Tensor) -> Tensor:
    """Pixels (B, M, C, p, q, r) of predictions, with the mean and standard deviation of each true cube and channel."""
    return cubes_of_values(values_BMK, pixels_BMCpqr) * _std(pixels_BMCpqr) + _mean(pixels_BMCpqr)


def undo_normalized_patches(values_BMK: Tensor, cubes_BMCpqr: Tensor) -> Tensor:
    """Input values (B, M, C, p, q, r) of predictions, with the mean and variance of each true cube."""
    variance, mean = torch.var_mean(cube_values(cubes_BMCpqr), dim=-1, keepdim=True)
    return cubes_of_values(values_BMK * (variance + _EPS).sqrt() + mean, cubes_BMCpqr)


def cubes_of_values(values_BMK: Tensor, like_BMCpqr: Tensor) -> Tensor:
    """The inverse of `cube_values`: cubes of the shape of ``like``."""
    _, _, c, p, q, r = like_BMCpqr.shape
    return rearrange(values_BMK, "b m (p q r c) -> b m c p q r", c=c, p=p, q=q, r=r)


def cube_values(cubes_BMCpqr: Tensor) -> Tensor:
    """Values of cubes, (B, M, p * q * r * C), in the order frame, row, column, channel."""
    return rearrange(cubes_BMCpqr, "b m c p q r -> b m (p q r c)")


def _mean(cubes_BMCpqr: Tensor) -> Tensor:
    return cubes_BMCpqr.mean(dim=(-3, -2, -1), keepdim=True)


def _std(cubes_BMCpqr: Tensor) -> Tensor:
    return cubes_BMCpqr.var(dim=(-3, -2, -1), unbiased=True, keepdim=True).sqrt() + _EPS
