"""What a number has to be compared with: features of pixels that know one frame, or only that something moved.

Both are encoders by contract, so they go through the same views, cache and probes.

Shapes: B clips, C channels, T frames, H rows, W columns.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from vmae_zoo.models.preprocessing import Preprocessing

SIDE = 14  # rows and columns that a picture is averaged down to


class SingleFrame(nn.Module):
    """The middle frame, averaged down to 14 x 14 pixels: what can be told without time.

    Args:
        preprocessing: of the encoder that it is compared with.
    """

    def __init__(self, preprocessing: Preprocessing):
        super().__init__()
        self.preprocessing = preprocessing

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """One token (B, 1, C * 14 * 14)."""
        return F.adaptive_avg_pool2d(video_BCTHW[:, :, video_BCTHW.shape[2] // 2], SIDE).flatten(1)[:, None]


class FrameDifference(nn.Module):
    """How much each place changes from frame to frame, on the mean, averaged down to 14 x 14: where something moves.

    Args:
        preprocessing: of the encoder that it is compared with.
    """

    def __init__(self, preprocessing: Preprocessing):
        super().__init__()
        self.preprocessing = preprocessing

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """One token (B, 1, C * 14 * 14); zeros for images."""
        frames = max(video_BCTHW.shape[2] - 1, 1)
        change_BCHW = video_BCTHW.diff(dim=2).abs().sum(2) / frames
        return F.adaptive_avg_pool2d(change_BCHW, SIDE).flatten(1)[:, None]


BASELINES = {"single frame": SingleFrame, "frame difference": FrameDifference}
