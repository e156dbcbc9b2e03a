"""The input of an encoder: sampling of frames and normalization of pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vmae_zoo.data.clip_spec import SAMPLINGS, ClipSpec
from vmae_zoo.data.sampling import FPS
from vmae_zoo.setting_checks import check_choice

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_LENGTH = 2**16  # of a clip, in frames or pixels
SLOWFAST_MEAN, SLOWFAST_STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)  # of PySlowFast, TimeSformer


@dataclass(frozen=True)
class Preprocessing:
    """How the input of an encoder is made of a video, in training and in every evaluation.

    Args:
        mean: per channel, of pixels in [0, 1].
        std: per channel.
        frames: frames of a clip.
        stride_frames: distance between the frames of a clip, in frames of the video.
        size: rows and columns of a clip in pixels.
        sampling: "dense", "window", "span" (``stride_frames`` by time), "uniform" or "sparse" (spread over the whole
            video), see `vmae_zoo.data.sampling`.
        fps: frames per second at which ``stride_frames`` counts if the sampling is "span".
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    frames: int = 16
    stride_frames: int = 4
    size: int = 224
    sampling: str = "dense"
    fps: float = FPS

    def __post_init__(self) -> None:
        for name, low, high in (("mean", 0.0, 1.0), ("std", 1e-3, 10.0)):
            values = vars(self)[name]
            if not isinstance(values, tuple) or not values or not all(_is_within(value, low, high) for value in values):
                raise ValueError(f"{name} = {values!r}: a number from {low:g} to {high:g} for each channel")
        for name in ("frames", "stride_frames", "size"):
            if not isinstance(vars(self)[name], int) or not _is_within(vars(self)[name], 1, MAX_LENGTH):
                raise ValueError(f"{name} = {vars(self)[name]!r}: an integer from 1 to {MAX_LENGTH}")
        if not _is_within(self.fps, 1e-3, 1e6):
            raise ValueError(f"fps = {self.fps!r}: a positive number")
        check_choice("sampling", self.sampling, SAMPLINGS)

    @property
    def clip(self) -> ClipSpec:
        """Frames to read of a video, and their size."""
        rates = (self.fps,) if self.sampling == "span" else (FPS,)
        return ClipSpec(self.frames, self.stride_frames, self.size, self.sampling, rates)


def _is_within(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


class Normalize(nn.Module):
    """Normalizes uint8 pixels by mean and standard deviation of each channel, and back."""

    def __init__(self, preprocessing: Preprocessing):
        super().__init__()
        self.register_buffer("mean", torch.tensor(preprocessing.mean), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, pixels: Tensor, channel_dim: int = 1) -> Tensor:
        """uint8 0..255, such as (B, C, T, H, W) -> float32, normalized per channel."""
        mean, std = (self._along(stat, pixels, channel_dim) for stat in (self.mean, self.std))
        return (pixels / 255 - mean) / std

    def pixels(self, values: Tensor, channel_dim: int = 1) -> Tensor:
        """The inverse normalization: float, in [0, 1] for values of an image."""
        return values * self._along(self.std, values, channel_dim) + self._along(self.mean, values, channel_dim)

    @staticmethod
    def _along(stat_C: Tensor, values: Tensor, dim: int) -> Tensor:
        return stat_C.view([-1 if axis == dim % values.ndim else 1 for axis in range(values.ndim)])
