"""Moving a map along an optical flow.

Shapes: B maps of H rows and W columns; a flow is (x, y) in pixels: the point at p moves to p + flow(p).
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_FLAGS = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP


def backward_warp(map_BHW: Tensor, flow_BHW2: Tensor) -> Tensor:
    """Each pixel samples the map at the position its flow points to: bilinear, 0 outside the map.

    On a CPU OpenCV does it, several times as fast on one core as torch, which does it on a GPU; both agree within
    rounding. Both are float32; ``flow`` leads from the new frame to that of the map.
    """
    if map_BHW.device.type != "cpu":
        return warp_on_device(map_BHW, flow_BHW2)
    pairs = zip(map_BHW.numpy(), flow_BHW2.numpy(), strict=True)
    return torch.from_numpy(np.stack([remap(map_HW, flow_HW2) for map_HW, flow_HW2 in pairs]))


def remap(map_HW: np.ndarray, flow_HW2: np.ndarray) -> np.ndarray:
    """`backward_warp` of one map in numpy, for workers."""
    return cv2.remap(map_HW, flow_HW2, None, _FLAGS, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]


def warp_on_device(map_BHW: Tensor, flow_BHW2: Tensor) -> Tensor:
    """`backward_warp` in torch.

    Corners are pixel centers, so coordinates are divided by (W - 1) / 2. The MGMAE program divides by W / 2, which
    scales its flow by half a percent.
    """
    height, width = map_BHW.shape[1:]
    position_BHW2 = pixel_grid(height, width, map_BHW.device) + flow_BHW2
    x, y = (2 * position_BHW2[..., axis] / max(side - 1, 1) - 1 for axis, side in enumerate((width, height)))
    sampled = F.grid_sample(map_BHW[:, None], torch.stack([x, y], -1), padding_mode="zeros", align_corners=True)
    return sampled[:, 0]


def forward_splat(map_BHW: Tensor, flow_BHW2: Tensor) -> Tensor:
    """Each pixel adds its value, with bilinear weights, at the position its flow points to; sums are normalized.

    Average splatting (Niklaus, Liu, "Softmax Splatting for Video Frame Interpolation", CVPR 2020, arXiv 2003.05534,
    with a constant metric). Pixels that receive no value are 0. A GPU adds in no fixed order, so the last digits may
    differ between runs. Both are float32; ``flow`` leads from the frame of the map to the new one.
    """
    clips, height, width = map_BHW.shape
    position_BHW2 = pixel_grid(height, width, map_BHW.device) + flow_BHW2
    corner_BHW2 = position_BHW2.floor()
    offset_BHW2 = position_BHW2 - corner_BHW2
    total_BN, weight_BN = map_BHW.new_zeros(2, clips, height * width)
    for right in (0, 1):
        for down in (0, 1):
            x, y = corner_BHW2[..., 0] + right, corner_BHW2[..., 1] + down
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            weight = inside * (offset_BHW2[..., 0] - 1 + right).abs() * (offset_BHW2[..., 1] - 1 + down).abs()
            index_BN = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long().flatten(1)
            weight_BN.scatter_add_(1, index_BN, weight.flatten(1))
            total_BN.scatter_add_(1, index_BN, (weight * map_BHW).flatten(1))
    average_BN = torch.where(weight_BN > 0, total_BN / weight_BN, 0.0)
    return average_BN.view(clips, height, width)


def pixel_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """The coordinates (x, y) of every pixel: float32 (H, W, 2)."""
    x, y = torch.meshgrid(torch.arange(width, device=device), torch.arange(height, device=device), indexing="xy")
    return torch.stack([x, y], dim=-1).float()
