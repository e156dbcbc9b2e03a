"""Random color changes and blur, sampled once per clip and the same for all of its frames, on the device.

The operations and probabilities of MoCo v3 (Chen, Xie, He, ICCV 2021, arXiv 2104.02057, which takes them from BYOL).
Different from its program: brightness, contrast, saturation and hue are changed in this order, where torchvision
samples one, and contrast is changed about the mean gray of the clip, where torchvision uses each image's own.

Shapes: B clips, C = 3 channels (red, green, blue), T frames, H rows, W columns; pixels are float 0..255.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from vmae_zoo.randomness import random_uniform

SOLARIZE_THRESHOLD = 128
BLUR_SIGMAS = (0.1, 2.0)  # pixels
BLUR_RADIUS = 6  # pixels: three times the largest sigma


@dataclass(frozen=True)
class ColorJitterConfig:
    """Strengths and probabilities of the changes of a view.

    Args:
        brightness: the factor is sampled from [1 - brightness, 1 + brightness].
        contrast: the same for contrast.
        saturation: the same for saturation.
        hue: the shift is sampled from [-hue, hue], in turns of the color circle.
        jitter: probability of the four changes above, together.
        gray: probability of conversion to gray.
        blur: probability of a Gaussian blur.
        solarize: probability of inverting all values >= 128.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    jitter: float = 0.8
    gray: float = 0.2
    blur: float = 1.0
    solarize: float = 0.0


FIRST_VIEW = ColorJitterConfig()
SECOND_VIEW = ColorJitterConfig(blur=0.1, solarize=0.2)


def color_jitter(video_BCTHW: Tensor, key_B: Tensor, config: ColorJitterConfig, purpose: str) -> Tensor:
    """A randomly changed view of each clip: float (B, C, T, H, W), 0..255.

    Clips are uint8, 0..255; changes are a function of key and purpose, the name of the view.
    """
    u = random_uniform(key_B, 9, f"colours {purpose}").unbind(1)
    jitter_B = (u[0] < config.jitter).float()

    def factor(u_B: Tensor, strength: float) -> Tensor:
        return 1 + jitter_B * strength * (2 * u_B - 1)

    with torch.autocast(video_BCTHW.device.type, enabled=False):
        video = video_BCTHW.float()
        video = blend(video, torch.zeros_like(video[:, :, :1, :1, :1]), factor(u[1], config.brightness))
        video = blend(video, grayscale(video).mean(dim=(1, 2, 3, 4), keepdim=True), factor(u[2], config.contrast))
        video = blend(video, grayscale(video), factor(u[3], config.saturation))
        video = adjust_hue(video, factor(u[4], config.hue) - 1)
        video = blend(video, grayscale(video), (u[5] >= config.gray).float())
        low, high = BLUR_SIGMAS
        video = gaussian_blur(video, (u[6] < config.blur) * (low + (high - low) * u[7]))
        inverted_B = (u[8] < config.solarize)[:, None, None, None, None] & (video >= SOLARIZE_THRESHOLD)
        return torch.where(inverted_B, 255 - video, video)


def grayscale(video_BCTHW: Tensor) -> Tensor:
    """Luma (ITU-R 601): (B, 1, T, H, W)."""
    red, green, blue = video_BCTHW.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]


def blend(video_BCTHW: Tensor, other: Tensor, factor_B: Tensor) -> Tensor:
    """``factor * video + (1 - factor) * other``, clamped to 0..255; a factor above 1 increases the difference."""
    factor = factor_B[:, None, None, None, None]
    return (factor * video_BCTHW + (1 - factor) * other).clamp(0, 255)


def adjust_hue(video_BCTHW: Tensor, turns_B: Tensor) -> Tensor:
    """Shift the hue (of hue, saturation and value) by a fraction of a turn."""
    red, green, blue = video_BCTHW.unbind(1)
    value, chroma = video_BCTHW.amax(1), video_BCTHW.amax(1) - video_BCTHW.amin(1)
    divisor = torch.where(chroma > 0, chroma, 1)
    in_blue = 4 + (red - green) / divisor
    in_green = 2 + (blue - red) / divisor
    sextant = torch.where(value == red, (green - blue) / divisor, torch.where(value == green, in_green, in_blue))
    sextant = sextant + 6 * turns_B[:, None, None, None]
    channels = []
    for offset in (5, 3, 1):
        k = (sextant + offset) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


def gaussian_blur(video_BCTHW: Tensor, sigma_B: Tensor) -> Tensor:
    """Gaussian blur of each frame, ``sigma`` in pixels; 0 leaves a clip unchanged."""
    radius = min(BLUR_RADIUS, *(side - 1 for side in video_BCTHW.shape[3:]))
    offsets_K = torch.arange(-radius, radius + 1, device=video_BCTHW.device)
    kernel_BK = torch.exp(-0.5 * (offsets_K / sigma_B.clamp(min=1e-3)[:, None]).square())
    kernel_BK = kernel_BK / kernel_BK.sum(1, keepdim=True)
    batch, channels = video_BCTHW.shape[:2]
    frames = F.pad(rearrange(video_BCTHW, "b c t h w -> (c t) b h w"), [radius] * 4, mode="reflect")
    frames = F.conv2d(frames, kernel_BK[:, None, None, :], groups=batch)
    frames = F.conv2d(frames, kernel_BK[:, None, :, None], groups=batch)
    return rearrange(frames, "(c t) b h w -> b c t h w", c=channels)
