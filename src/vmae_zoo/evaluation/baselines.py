"""Baselines for probes: features of pixels that see a single frame, or only where something moves.

Both are encoders, so they use the same views, cache and probes.

Shapes: B clips, C channels, T frames, H rows, W columns.
"""

import torch.nn.functional as F
from torch import Tensor

from vmae_zoo.models.preprocessing import Preprocessing
from vmae_zoo.models.video_encoder import VideoEncoder

SIDE = 14  # rows and columns that pictures are averaged down to


class PixelBaseline(VideoEncoder):
    """A picture per clip, averaged down to 14 x 14 pixels.

    Args:
        preprocessing: that of the encoder to compare with.
    """

    def __init__(self, preprocessing: Preprocessing):
        super().__init__()
        self.preprocessing = preprocessing

    def picture(self, video_BCTHW: Tensor) -> Tensor:
        """The picture (B, C, H, W) of each clip."""
        raise NotImplementedError

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """One token (B, 1, C * 14 * 14) per clip."""
        return F.adaptive_avg_pool2d(self.picture(video_BCTHW), SIDE).flatten(1)[:, None]


class SingleFrame(PixelBaseline):
    """The middle frame: the accuracy that needs no motion."""

    def picture(self, video_BCTHW: Tensor) -> Tensor:
        """The middle frame."""
        return video_BCTHW[:, :, video_BCTHW.shape[2] // 2]


class FrameDifference(PixelBaseline):
    """The mean absolute change from frame to frame: where something moves."""

    def picture(self, video_BCTHW: Tensor) -> Tensor:
        """The mean change; zeros for images."""
        return video_BCTHW.diff(dim=2).abs().sum(2) / max(video_BCTHW.shape[2] - 1, 1)


BASELINES = {"single frame": SingleFrame, "frame difference": FrameDifference}
