"""What a clip is, how training augments it, and what a method requests in addition; immutable values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vmae_zoo.data.sampling import FPS
from vmae_zoo.setting_checks import check_choice, check_least

CROPS = ("multi_scale", "random_resized", "centre")
SAMPLINGS = ("dense", "span", "window", "uniform", "sparse")

PerClip = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class ClipSpec:
    """Which frames of a video make a clip, and its size in pixels; see the arguments of `ClipDataModule`."""

    frames: int = 16
    stride_frames: int = 4
    size: int = 224
    sampling: str = "dense"
    fps: tuple[float, ...] = (FPS,)

    def __post_init__(self) -> None:
        check_least("data.", 1, frames=self.frames, stride_frames=self.stride_frames, size=self.size)
        check_choice("data.sampling", self.sampling, SAMPLINGS)
        if not self.fps or min(self.fps) <= 0:
            raise ValueError(f"data.fps = {list(self.fps)}: give one or more positive rates")
        if self.sampling != "span" and self.fps != (FPS,):
            raise ValueError(
                f"data.fps = {list(self.fps)} has no effect unless clips are sampled by time: add --data.sampling span"
            )


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training clip, the same for all of its frames; see the arguments of `ClipDataModule`."""

    crop: str = "multi_scale"
    scales: tuple[float, ...] = (1, 0.875, 0.75, 0.66)
    area: tuple[float, float] = (0.08, 1.0)
    flip: bool = False
    short_side: int | None = None
    rand_augment: int = 0

    def __post_init__(self) -> None:
        check_choice("data.crop", self.crop, CROPS)
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"data.area = {tuple(self.area)}: choose 0 < smallest <= largest <= 1")


@dataclass(frozen=True)
class ClipRequest:
    """What a method requests from the data module in addition to one clip per sample.

    Args:
        views: 2 adds a second clip of the same video, with its own start and crop, as "other" (MoCo v3).
        same_clip: the second view is another crop of the same frames.
        per_clip: arrays to compute for each cropped clip in the workers: name in the batch -> function of
            (uint8 (T, H, W, 3), key).
        labeled: train and validate on the clips that have a label only; the others are left out and counted.
    """

    views: int = 1
    same_clip: bool = False
    per_clip: Mapping[str, PerClip] = field(default_factory=dict)
    labeled: bool = False


DEFAULT_CLIP, DEFAULT_AUGMENTATION, ONE_CLIP = ClipSpec(), Augmentation(), ClipRequest()


class ClipConsumer:
    """Base of methods, such as `vmae_zoo.methods.Method`: the data module reads ``clip_request``."""

    clip_request = ONE_CLIP
