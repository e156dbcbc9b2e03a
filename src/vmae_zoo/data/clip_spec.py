"""What a clip is, how training augments it, and what a method requests in addition; immutable values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vmae_zoo.data.sampling import FPS

CROPS = ("multi_scale", "random_resized", "centre")
SAMPLINGS = ("dense", "span", "window", "uniform", "sparse")

PerClip = Callable[[np.ndarray, int], np.ndarray]


def check_positive(name: str, value: int) -> None:
    """``ValueError`` unless a setting is at least 1."""
    if value < 1:
        raise ValueError(f"data.{name} = {value}: must be >= 1")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """``ValueError`` unless a setting is one of the choices."""
    if value not in choices:
        raise ValueError(f"data.{name} = {value!r}: choose one of {', '.join(choices)}")


@dataclass(frozen=True)
class ClipSpec:
    """Which frames of a video make a clip, and its size in pixels.

    Args:
        frames: frames of a clip (16 in the papers).
        stride_frames: distance between frames (4 in the papers, 2 for Something-Something V2).
        size: side of the square clip in pixels (224 in the papers).
        sampling: "dense" (pre-training), "span" (by time: frames x stride_frames at ``fps``; space-time MAE),
            "window" (fine-tuning on Kinetics, UCF101, HMDB51), "uniform" (spread over the whole video: fine-tuning on
            Something-Something V2) or "sparse" (VideoMAE V2's ``--sparse_sample``); see `vmae_zoo.data.sampling`.
        fps: rates in frames per second at which ``stride_frames`` counts if the sampling is "span" (30 in space-time
            MAE). With several, each training clip takes one of them; evaluation takes the first.
    """

    frames: int = 16
    stride_frames: int = 4
    size: int = 224
    sampling: str = "dense"
    fps: tuple[float, ...] = (FPS,)

    def __post_init__(self) -> None:
        for name in ("frames", "stride_frames", "size"):
            check_positive(name, vars(self)[name])
        check_choice("sampling", self.sampling, SAMPLINGS)
        if not self.fps or min(self.fps) <= 0:
            raise ValueError(f"data.fps = {list(self.fps)}: give one or more positive rates")
        if self.sampling != "span" and self.fps != (FPS,):
            raise ValueError(
                f"data.fps = {list(self.fps)} has no effect unless clips are sampled by time: add --data.sampling span"
            )


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training clip, the same for all of its frames.

    Args:
        crop: "multi_scale" (VideoMAE), "random_resized" or "centre" (the center crop).
        scales: fractions of the shorter side that the multi-scale crop chooses from (1, 0.875, 0.75, 0.66 in the
            papers).
        area: smallest and largest fraction of the frame's area for the random resized crop (0.08 in MoCo v3, 0.2 in
            MAE, 0.5 in space-time MAE).
        flip: mirror every other clip (not in the official pre-training).
        short_side: decode larger videos with this many pixels on the shorter side; None decodes the native size.
        rand_augment: number of RandAugment operations (4 in fine-tuning); 0 for none.
    """

    crop: str = "multi_scale"
    scales: tuple[float, ...] = (1, 0.875, 0.75, 0.66)
    area: tuple[float, float] = (0.08, 1.0)
    flip: bool = False
    short_side: int | None = None
    rand_augment: int = 0

    def __post_init__(self) -> None:
        check_choice("crop", self.crop, CROPS)
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
