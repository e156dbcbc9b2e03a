"""Changes of colour and sharpness, drawn once per clip and the same for all of its frames, on the device.

The ops and chances are MoCo v3's (Chen, Xie, He, ICCV 2021, arXiv 2104.02057, which takes them from BYOL). Two
differences from its program: brightness, contrast, saturation and hue come in this order, where torchvision draws one;
and contrast works about the mean grey of the clip, where an image has its own.

Shapes: B clips, C = 3 channels (red, green, blue), T frames, H rows, W columns; pixels are float 0..255.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from vmae_zoo.randomness import random_uniform

SOLARISE_FROM = 128
BLUR_SIGMAS = (0.1, 2.0)  # pixels
BLUR_RADIUS = 6  # pixels: three of the largest sigma


@dataclass(frozen=True)
class ColorJitterConfig:
    """How a view's colours are changed.

    Args:
        brightness: factor from [1 - this, 1 + this].
        contrast: the same.
        saturation: the same.
        hue: turn of the colour circle from [-this, this], in whole turns.
        jitter: chance of the four above, together.
        grey: chance of losing all colour.
        blur: chance of a Gaussian blur.
        solarise: chance of inverting all values from 128 on.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    jitter: float = 0.8
    grey: float = 0.2
    blur: float = 1.0
    solarise: float = 0.0


FIRST_VIEW = ColorJitterConfig()
SECOND_VIEW = ColorJitterConfig(blur=0.1, solarise=0.2)


def color_jitter(video_BCTHW: Tensor, key_B: Tensor, colours: ColorJitterConfig, purpose: str) -> Tensor:
    """A view of each clip: float (B, C, T, H, W), 0..255.

    Args:
        video_BCTHW: uint8 0..255.
        key_B: int64 (B,) keys; what is drawn is a function of key and purpose.
        colours: what is drawn.
        purpose: the view's name, so that two views of one clip differ.
    """
    u = random_uniform(key_B, 9, f"colours {purpose}").unbind(1)
    jitter_B = (u[0] < colours.jitter).float()

    def factor(drawn_B: Tensor, strength: float) -> Tensor:
        return 1 + jitter_B * strength * (2 * drawn_B - 1)

    with torch.autocast(video_BCTHW.device.type, enabled=False):
        video = video_BCTHW.float()
        video = blend(video, torch.zeros_like(video[:, :, :1, :1, :1]), factor(u[1], colours.brightness))
        video = blend(video, grey(video).mean(dim=(1, 2, 3, 4), keepdim=True), factor(u[2], colours.contrast))
        video = blend(video, grey(video), factor(u[3], colours.saturation))
        video = adjust_hue(video, factor(u[4], colours.hue) - 1)
        video = blend(video, grey(video), (u[5] >= colours.grey).float())
        low, high = BLUR_SIGMAS
        video = blur(video, (u[6] < colours.blur) * (low + (high - low) * u[7]))
        inverted_B = (u[8] < colours.solarise)[:, None, None, None, None] & (video >= SOLARISE_FROM)
        return torch.where(inverted_B, 255 - video, video)


def grey(video_BCTHW: Tensor) -> Tensor:
    """Luma (ITU-R 601): (B, 1, T, H, W)."""
    red, green, blue = video_BCTHW.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]


def blend(video_BCTHW: Tensor, other: Tensor, share_B: Tensor) -> Tensor:
    """``share * video + (1 - share) * other``, kept in 0..255; a share above 1 moves away from ``other``."""
    share = share_B[:, None, None, None, None]
    return (share * video_BCTHW + (1 - share) * other).clamp(0, 255)


def adjust_hue(video_BCTHW: Tensor, turns_B: Tensor) -> Tensor:
    """Turn the colour circle of hue, saturation and value by a part of a turn."""
    red, green, blue = video_BCTHW.unbind(1)
    value, chroma = video_BCTHW.amax(1), video_BCTHW.amax(1) - video_BCTHW.amin(1)
    divisor = torch.where(chroma > 0, chroma, 1)
    in_blue = 4 + (red - green) / divisor
    in_green = 2 + (blue - red) / divisor
    sixths = torch.where(value == red, (green - blue) / divisor, torch.where(value == green, in_green, in_blue))
    sixths = sixths + 6 * turns_B[:, None, None, None]
    channels = []
    for offset in (5, 3, 1):
        place = (sixths + offset) % 6
        channels.append(value - chroma * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(channels, dim=1)


def blur(video_BCTHW: Tensor, sigma_B: Tensor) -> Tensor:
    """Gaussian blur of each frame, ``sigma`` in pixels; 0 leaves a clip as it is."""
    radius = min(BLUR_RADIUS, *(side - 1 for side in video_BCTHW.shape[3:]))
    offsets_K = torch.arange(-radius, radius + 1, device=video_BCTHW.device)
    kernel_BK = torch.exp(-0.5 * (offsets_K / sigma_B.clamp(min=1e-3)[:, None]).square())
    kernel_BK = kernel_BK / kernel_BK.sum(1, keepdim=True)
    batch, channels = video_BCTHW.shape[:2]
    frames = F.pad(rearrange(video_BCTHW, "b c t h w -> (c t) b h w"), [radius] * 4, mode="reflect")
    frames = F.conv2d(frames, kernel_BK[:, None, None, :], groups=batch)
    frames = F.conv2d(frames, kernel_BK[:, None, :, None], groups=batch)
    return rearrange(frames, "(c t) b h w -> b c t h w", c=channels)
