"""Augmentation of a batch on the device in fine-tuning: random erasing, mixup, CutMix, soft targets.

Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, arXiv 1708.04896; Zhang et al., "mixup", ICLR 2018, arXiv
1710.09412; Yun et al., "CutMix", ICCV 2019, arXiv 1905.04899; the settings are those of the official VideoMAE. Every
random number is a function of the samples' keys, without a host-device sync; all frames of a clip are changed alike.
timm has the same arithmetic with global generators (and newer versions round the boxes of CutMix differently).

Shapes: B clips, C channels, T frames, H rows, W columns, K classes, R proposals.
"""

import math

import torch
from torch import Tensor

from vmae_zoo.randomness import random_bits, random_uniform

_TRIES = 32  # rejection sampling by a fixed number of proposals fails once in millions


def soft_targets(label_B: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """Smoothed one-hot targets, float (B, K): ``1 - smoothing`` at the label, plus ``smoothing / K`` everywhere."""
    zero_BK = torch.zeros(len(label_B), classes, device=label_B.device)  # F.one_hot synchronizes host and device
    return zero_BK.scatter(1, label_B[:, None], 1 - smoothing) + smoothing / classes


def mixup_cutmix(
    video_BCTHW: Tensor,
    target_BK: Tensor,
    key_B: Tensor,
    mixup: float = 0.8,
    cutmix: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Mix clip i of a batch with clip B - 1 - i, with the same random parameters for the whole batch.

    Mixup averages both clips with weights lambda and 1 - lambda, CutMix replaces one box, the same in all frames, by
    that of the other clip; targets are averaged with the same weights.

    Args:
        video_BCTHW: float clips.
        target_BK: soft targets.
        key_B: int64 keys; the first one determines the parameters.
        mixup: a of lambda ~ Beta(a, a) in mixup; 0 disables it (0.8 in the official program).
        cutmix: a of lambda ~ Beta(a, a) in CutMix; 0 disables it (1.0 in the official program).

    Returns:
        Mixed clips and targets.
    """
    if not (mixup or cutmix):
        return video_BCTHW, target_BK
    key_1, (height, width) = key_B[:1], video_BCTHW.shape[-2:]
    u = random_uniform(key_1, 3, "mix")[0]
    mixup_HW = random_beta(key_1, mixup or 1.0, "mixup").expand(height, width)
    box_HW = cutmix_box(random_beta(key_1, cutmix or 1.0, "cutmix"), u[1], u[2], height, width)
    use_cutmix = u[0] < (0.5 if mixup else 1.0) if cutmix else u[0] < 0
    lam_HW = torch.where(use_cutmix, (~box_HW).float(), mixup_HW).to(video_BCTHW.dtype)
    lam = lam_HW.float().mean()
    mixed = lam_HW * video_BCTHW + (1 - lam_HW) * video_BCTHW.flip(0)
    return mixed, lam * target_BK + (1 - lam) * target_BK.flip(0)


def cutmix_box(lam: Tensor, row: Tensor, column: Tensor, height: int, width: int) -> Tensor:
    """Bool (H, W), True inside a box of ``1 - lam`` of the area, cropped at the border of the frame.

    Its center, ``row`` and ``column``, is in [0, 1) of height and width.
    """
    side = (1 - lam).sqrt()
    inside = []
    for size, fraction in ((height, row), (width, column)):
        center, half = (fraction * size).long(), (side * size).long() // 2
        position = torch.arange(size, device=lam.device)
        inside.append((position >= center - half) & (position < center + half))
    return inside[0][:, None] & inside[1][None, :]


def random_beta(key_B: Tensor, a: float, purpose: str) -> Tensor:
    """A sample of Beta(a, a), 0 < a <= 1, per key: float (B,), by Jöhnk's rejection method (Metrika 8, 1964)."""
    u_B2R = random_uniform(key_B, 2 * _TRIES, purpose).double().unflatten(1, (2, _TRIES)) ** (1 / a)
    total_BR = u_B2R.sum(1)
    first_B1 = ((total_BR <= 1) & (total_BR > 0)).int().argmax(1, keepdim=True)
    return (u_B2R[:, 0] / total_BR).gather(1, first_B1)[:, 0].float()


def random_erasing(video_BCTHW: Tensor, key_B: Tensor, probability: float = 0.25) -> Tensor:
    """Replace a box of some clips by standard normal noise: the same box in all frames, independent noise in each.

    It covers 0.02 to 1 / 3 of the frame; height / width is sampled log-uniformly from 0.3 to 1 / 0.3.
    """
    if probability == 0:
        return video_BCTHW
    _, channels, frames, height, width = video_BCTHW.shape
    u_BR4 = random_uniform(key_B, 1 + 4 * _TRIES, "erase")
    erased_B, u_BR4 = u_BR4[:, 0] < probability, u_BR4[:, 1:].unflatten(1, (_TRIES, 4))
    pixels_BR = height * width * (0.02 + (1 / 3 - 0.02) * u_BR4[..., 0])
    low, high = math.log(0.3), -math.log(0.3)
    aspect_BR = (low + (high - low) * u_BR4[..., 1]).exp()
    rows_BR, columns_BR = (pixels_BR * aspect_BR).sqrt().round(), (pixels_BR / aspect_BR).sqrt().round()
    fits_BR = (rows_BR < height) & (columns_BR < width)
    first_B1 = fits_BR.int().argmax(1, keepdim=True)
    rows_B, columns_B = (sides.gather(1, first_B1)[:, 0] for sides in (rows_BR, columns_BR))
    u_B2 = u_BR4[..., 2:].gather(1, first_B1[:, :, None].expand(-1, -1, 2))[:, 0]
    top_B, left_B = ((height - rows_B + 1) * u_B2[:, 0]).floor(), ((width - columns_B + 1) * u_B2[:, 1]).floor()
    row_H, column_W = (torch.arange(size, device=key_B.device) for size in (height, width))
    in_rows_BH = (row_H >= top_B[:, None]) & (row_H < (top_B + rows_B)[:, None])
    in_columns_BW = (column_W >= left_B[:, None]) & (column_W < (left_B + columns_B)[:, None])
    box_BHW = erased_B[:, None, None] & in_rows_BH[:, :, None] & in_columns_BW[:, None, :]
    noise = random_normal(key_B, channels * frames * height * width, "erase noise").view_as(video_BCTHW)
    return torch.where(box_BHW[:, None, None], noise.to(video_BCTHW.dtype), video_BCTHW)


def random_normal(key_B: Tensor, count: int, purpose: str) -> Tensor:
    """Standard normal samples, float32 (B, count), two of each of `random_bits` (Box and Muller, 1958)."""
    bits = random_bits(key_B, (count + 1) // 2, purpose)
    first = ((bits >> 39) + 1).float() / (1 << 24)
    second = ((bits >> 15) & ((1 << 24) - 1)).float() / (1 << 24)
    radius = (-2 * first.log()).sqrt()
    angle = 2 * math.pi * second
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]
