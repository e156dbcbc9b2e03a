"""What decoders are asked to predict.

Shapes: B clips, M tokens, C channels; p, q, r = frames, rows, columns of a cube.
"""

import torch
from einops import rearrange
from torch import Tensor

_EPS = 1e-6


def normalised_cubes(pixels_BMCpqr: Tensor) -> Tensor:
    """VideoMAE's targets: every channel of every cube at mean 0 and deviation 1 (unbiased, plus 1e-6).

    Args:
        pixels_BMCpqr: cubes of pixels in [0, 1].

    Returns:
        (B, M, p * q * r * C), values in the order frame, row, column, channel.
    """
    return cube_values((pixels_BMCpqr - _mean(pixels_BMCpqr)) / _deviation(pixels_BMCpqr))


def normalised_patches(cubes_BMCpqr: Tensor) -> Tensor:
    """MAE's targets: every cube at mean 0 and deviation 1, channels together (unbiased; 1e-6 is added to the variance).

    Args:
        cubes_BMCpqr: cubes of the network's own, normalised input.

    Returns:
        (B, M, p * q * r * C), values in the order frame, row, column, channel.
    """
    values_BMK = cube_values(cubes_BMCpqr)
    variance, mean = torch.var_mean(values_BMK, dim=-1, keepdim=True)
    return (values_BMK - mean) / (variance + _EPS).sqrt()


def undo_normalised_cubes(values_BMK: Tensor, pixels_BMCpqr: Tensor) -> Tensor:
    """Put the true mean and deviation of each cube and channel back.

    Pixels (B, M, C, p, q, r), to look at predictions.
    """
    return cubes_of_values(values_BMK, pixels_BMCpqr) * _deviation(pixels_BMCpqr) + _mean(pixels_BMCpqr)


def undo_normalised_patches(values_BMK: Tensor, cubes_BMCpqr: Tensor) -> Tensor:
    """Put the true mean and deviation of each cube of the network's own input back: (B, M, C, p, q, r)."""
    variance, mean = torch.var_mean(cube_values(cubes_BMCpqr), dim=-1, keepdim=True)
    return cubes_of_values(values_BMK * (variance + _EPS).sqrt() + mean, cubes_BMCpqr)


def cubes_of_values(values_BMK: Tensor, like_BMCpqr: Tensor) -> Tensor:
    """The inverse of `cube_values`: cubes shaped as ``like``."""
    _, _, c, p, q, r = like_BMCpqr.shape
    return rearrange(values_BMK, "b m (p q r c) -> b m c p q r", c=c, p=p, q=q, r=r)


def cube_values(cubes_BMCpqr: Tensor) -> Tensor:
    """(B, M, p * q * r * C), values in the order frame, row, column, channel."""
    return rearrange(cubes_BMCpqr, "b m c p q r -> b m (p q r c)")


def _mean(cubes_BMCpqr: Tensor) -> Tensor:
    return cubes_BMCpqr.mean(dim=(-3, -2, -1), keepdim=True)


def _deviation(cubes_BMCpqr: Tensor) -> Tensor:
    return cubes_BMCpqr.var(dim=(-3, -2, -1), unbiased=True, keepdim=True).sqrt() + _EPS
