"""Moving a map along a flow.

Shapes: B maps of H rows and W columns; a flow holds (x, y) in pixels: what lies at p here lies at p + flow(p) there.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_FETCH = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP


def backward_warp(map_BHW: Tensor, flow_BHW2: Tensor) -> Tensor:
    """Each pixel fetches its value from where its flow points: bilinear, 0 from outside the map.

    A CPU goes through OpenCV, on one core several times as fast as the torch kernel that a GPU goes through; both agree
    within rounding.

    Args:
        map_BHW: float32.
        flow_BHW2: float32, on the same device, from the frame that is made to the frame that the map belongs to.
    """
    if map_BHW.device.type != "cpu":
        return warp_on_device(map_BHW, flow_BHW2)
    pairs = zip(map_BHW.numpy(), flow_BHW2.numpy(), strict=True)
    return torch.from_numpy(np.stack([fetch(map_HW, flow_HW2) for map_HW, flow_HW2 in pairs]))


def fetch(map_HW: np.ndarray, flow_HW2: np.ndarray) -> np.ndarray:
    """`backward_warp` of one map in a worker."""
    return cv2.remap(map_HW, flow_HW2, None, _FETCH, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]


def warp_on_device(map_BHW: Tensor, flow_BHW2: Tensor) -> Tensor:
    """`backward_warp` as a torch kernel.

    Corners are pixel centres, so coordinates are divided by (W - 1) / 2. The MGMAE program divides by W / 2, which
    stretches its flow by half a percent.
    """
    height, width = map_BHW.shape[1:]
    where_BHW2 = pixel_grid(height, width, map_BHW.device) + flow_BHW2
    x, y = (2 * where_BHW2[..., axis] / max(side - 1, 1) - 1 for axis, side in enumerate((width, height)))
    sampled = F.grid_sample(map_BHW[:, None], torch.stack([x, y], -1), padding_mode="zeros", align_corners=True)
    return sampled[:, 0]


def forward_splat(map_BHW: Tensor, flow_BHW2: Tensor) -> Tensor:
    """Each pixel sends its value to where its flow points, shared bilinearly; every pixel averages what it gets.

    Average splatting (Niklaus, Liu, "Softmax Splatting for Video Frame Interpolation", CVPR 2020, arXiv 2003.05534,
    with a constant metric). What gets nothing is 0. A GPU adds in no fixed order, so last digits may differ between
    runs.

    Args:
        map_BHW: float32.
        flow_BHW2: float32, on the same device, from the frame that the map belongs to, to the frame that is made.
    """
    clips, height, width = map_BHW.shape
    where_BHW2 = pixel_grid(height, width, map_BHW.device) + flow_BHW2
    corner_BHW2 = where_BHW2.floor()
    share_BHW2 = where_BHW2 - corner_BHW2
    total_BN, weight_BN = map_BHW.new_zeros(2, clips, height * width)
    for right in (0, 1):
        for down in (0, 1):
            x, y = corner_BHW2[..., 0] + right, corner_BHW2[..., 1] + down
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            weight = inside * (share_BHW2[..., 0] - 1 + right).abs() * (share_BHW2[..., 1] - 1 + down).abs()
            place_BN = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long().flatten(1)
            weight_BN.scatter_add_(1, place_BN, weight.flatten(1))
            total_BN.scatter_add_(1, place_BN, (weight * map_BHW).flatten(1))
    average_BN = torch.where(weight_BN > 0, total_BN / weight_BN, 0.0)
    return average_BN.view(clips, height, width)


def pixel_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Every pixel's own (x, y): float32 (H, W, 2)."""
    x, y = torch.meshgrid(torch.arange(width, device=device), torch.arange(height, device=device), indexing="xy")
    return torch.stack([x, y], dim=-1).float()
