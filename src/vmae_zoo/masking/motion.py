"""Masks that follow the motion of a clip.

MGMAE (Huang, Zhao, Zhang, Gong, Wang, "MGMAE: Motion Guided Masking for Video Masked Autoencoding", ICCV 2023, arXiv
2308.10794; not "Motion Guided Masking for Spatiotemporal Representation Learning" of the same conference). A map of
random bumps (Gaussian peaks) is sampled on one base frame and warped to the other frames by optical flow, from neighbor
to neighbor. In every time slice the tokens with the largest sums are visible.

Different from the released program, which warps frames before the base frame along the flow of the opposite direction,
so that their map moves backwards; here it follows the motion in both directions of time.

Shapes: B clips, T frames, H rows, W columns; N tokens, P = T - 1 pairs of neighboring frames; K bumps; h, w = rows and
columns of the maps, which may be smaller than the clip.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from einops import reduce
from torch import Tensor

from vmae_zoo.flow import FlowFunction, dis_flow, flow_function
from vmae_zoo.flow.dense import largest_shrink
from vmae_zoo.flow.remap import backward_warp, forward_splat, remap
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.tube import num_hidden
from vmae_zoo.randomness import random_bits, random_order
from vmae_zoo.setting_checks import check_choice

CHOICES = {
    "initial_map": ("mix_gauss", "pixel_rand", "token_rand"),
    "base_frame": ("middle", "first", "random"),
    "warp": ("backward", "forward"),
    "hole_filling": ("consist", "previous", "none"),
}
EPS = 1e-8  # smallest value of a map, so that an exact 0 marks a hole


@dataclass(frozen=True)
class MotionGuidedScorer:
    """Computes a score for each token: the sum of the warped map over its pixels.

    Args:
        grid: tokens of a clip.
        mask_ratio: fraction of hidden tokens; the map has a bump for each of the others (20 of 196 at 0.9).
        initial_map: "mix_gauss", a Gaussian at each sampled token; "token_rand", all pixels of each sampled token;
            "pixel_rand", sampled pixels.
        base_frame: frame on which the map is sampled: "middle" (T // 2), "first" or "random".
        warp: "backward" samples the map of the neighbor nearer the base frame along the flow to it; "forward" splats it
            along the flow from it.
        hole_filling: values where the flow leaves the frame: "consist", the map of the base frame; "previous", that of
            the neighbor; "none", zeros.
        flow: name of the flow estimator in the data workers, or the function itself, see `vmae_zoo.flow`.
    """

    grid: TokenGrid
    mask_ratio: float = 0.9
    initial_map: str = "mix_gauss"
    base_frame: str = "middle"
    warp: str = "backward"
    hole_filling: str = "consist"
    flow: str | FlowFunction = "dis"

    def __post_init__(self):
        num_hidden(self.grid.per_slice, self.mask_ratio)
        for name, known in CHOICES.items():
            check_choice(name, vars(self)[name], known)

    def __call__(self, clip: np.ndarray, key: int) -> np.ndarray:
        """Scores of one clip, uint8 (T, H, W, 3), in a data worker: float32 (N,), equal to those of `scores`.

        Uses numpy, because the overhead of torch for each call is large on maps of this size.
        """
        key_1, frames = torch.tensor([key]), self.grid.pixels[0]
        flow_Phw2 = self.estimate(clip, self.pairs(key_1)[0].numpy())
        if self.warp == "forward":
            return self.scores(key_1, torch.from_numpy(flow_Phw2)[None])[0].numpy()
        first_hw = self.base_map(key_1, flow_Phw2.shape[1:3])[0].numpy()
        base_1 = self.base_frame_index(key_1)
        volume_Thw = np.empty((frames, *first_hw.shape), np.float32)
        volume_Thw[int(base_1)] = first_hw
        for (new, known), flow_hw2 in zip(propagation_order(base_1, frames)[0].tolist(), flow_Phw2, strict=True):
            warped_hw = remap(volume_Thw[known], flow_hw2)
            if self.hole_filling != "none":
                filling_hw = first_hw if self.hole_filling == "consist" else volume_Thw[known]
                np.copyto(warped_hw, filling_hw, where=warped_hw == 0)
            volume_Thw[new] = warped_hw
        return self.sum_per_token(volume_Thw[None])[0]

    def estimate(self, clip: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Flow of one clip; DIS flow at the lowest resolution that keeps a whole number of pixels for each token."""
        if self.flow == "dis":
            _, height, width = self.grid.cube
            return dis_flow(clip, pairs, largest_shrink(clip.shape[1:3], math.gcd(height, width)))
        return (flow_function(self.flow) if isinstance(self.flow, str) else self.flow)(clip, pairs)

    def base_frame_index(self, key_B: Tensor) -> Tensor:
        """Index of the base frame of each clip: int64 (B,)."""
        frames = self.grid.pixels[0]
        if self.base_frame == "random":
            return random_bits(key_B, 1, "base frame")[:, 0] % frames
        return torch.full_like(key_B, 0 if self.base_frame == "first" else frames // 2)

    def pairs(self, key_B: Tensor) -> Tensor:
        """Pairs of frames (from, to) whose flow the warp needs, in the order of use: int64 (B, P, 2)."""
        new_and_known = propagation_order(self.base_frame_index(key_B), self.grid.pixels[0])
        return new_and_known if self.warp == "backward" else new_and_known.flip(2)

    def scores(self, key_B: Tensor, flow_BPhw2: Tensor) -> Tensor:
        """Scores of a batch on its device: float32 (B, N).

        The flow of the `pairs` is float32; its height and width are multiples of those of the grid.
        """
        return self.sum_per_token(self.warped_maps(key_B, flow_BPhw2))

    def sum_per_token(self, volume_BThw):
        """Sum of the maps over each cube: (B, N); for tensors and numpy arrays."""
        time, height, width = self.grid.shape
        return reduce(volume_BThw, "b (t p) (h q) (w r) -> b (t h w)", "sum", t=time, h=height, w=width)

    def base_map(self, key_B: Tensor, size: tuple[int, int]) -> Tensor:
        """Map of the base frame: float32 (B, h, w); ``ValueError`` if the size is no multiple of the grid."""
        height, width = size
        if height % self.grid.height or width % self.grid.width:
            raise ValueError(
                f"the flow has {height} x {width} pixels, which is no multiple of the {self.grid.height} x "
                f"{self.grid.width} tokens: give a flow of the clip's size, or of that divided by 2 or 4"
            )
        return initial_map(key_B, self.grid, size, self.mask_ratio, self.initial_map)

    def warped_maps(self, key_B: Tensor, flow_BPhw2: Tensor) -> Tensor:
        """Maps of all frames: float32 (B, T, h, w)."""
        frames = self.grid.pixels[0]
        first_Bhw = self.base_map(key_B, (flow_BPhw2.shape[2], flow_BPhw2.shape[3]))
        base_B = self.base_frame_index(key_B)
        steps_BP2 = propagation_order(base_B, frames)
        starts_PB = (steps_BP2[:, :, 1] == base_B[:, None]).T
        warp = backward_warp if self.warp == "backward" else forward_splat
        maps = [first_Bhw]
        for step, starts_B in enumerate(starts_PB):  # from the previous map, or again from that of the base frame
            known_Bhw = torch.where(starts_B[:, None, None], first_Bhw, maps[-1])
            warped_Bhw = warp(known_Bhw, flow_BPhw2[:, step])
            if self.hole_filling != "none":
                filling_Bhw = first_Bhw if self.hole_filling == "consist" else known_Bhw
                warped_Bhw = torch.where(warped_Bhw == 0, filling_Bhw, warped_Bhw)
            maps.append(warped_Bhw)
        step_of_frame_BT = torch.cat([base_B[:, None], steps_BP2[:, :, 0]], dim=1).argsort(dim=1)
        clip_B1 = torch.arange(len(key_B), device=key_B.device)[:, None]
        return torch.stack(maps, dim=1)[clip_B1, step_of_frame_BT]


def propagation_order(base_B: Tensor, frames: int) -> Tensor:
    """Each frame but the base frame and its neighbor nearer the base, later frames first: int64 (B, T - 1, 2)."""
    step_P = torch.arange(frames - 1, device=base_B.device)
    later_BP = base_B[:, None] + 1 + step_P
    earlier_BP = frames - 2 - step_P  # from the base frame backwards, once the last frame is reached
    forward_BP = later_BP < frames
    new_BP = torch.where(forward_BP, later_BP, earlier_BP)
    return torch.stack([new_BP, torch.where(forward_BP, new_BP - 1, new_BP + 1)], dim=2)


def initial_map(key_B: Tensor, grid: TokenGrid, size: tuple[int, int], mask_ratio: float, kind: str) -> Tensor:
    """Map of the base frame, each clip's own: float32 (B, h, w), from `EPS` to 1; kinds: see `MotionGuidedScorer`."""
    height, width = size
    if kind == "pixel_rand":
        pixel_BK = random_order(key_B, height * width, "motion map")[:, : int(height * width * (1 - mask_ratio))]
        map_BN = torch.full((len(key_B), height * width), EPS, device=key_B.device)
        return map_BN.scatter(1, pixel_BK, 1.0).view(-1, height, width)
    token_BK = seed_tokens(key_B, grid, mask_ratio)
    rows, columns = height // grid.height, width // grid.width  # pixels of a token
    if kind == "token_rand":
        map_BS = torch.full((len(key_B), grid.per_slice), EPS, device=key_B.device).scatter(1, token_BK, 1.0)
        return map_BS.view(-1, grid.height, grid.width).repeat_interleave(rows, 1).repeat_interleave(columns, 2)
    rows_BKh = _gaussian(token_BK // grid.width, rows, height)
    columns_BKw = _gaussian(token_BK % grid.width, columns, width)
    clips = zip(rows_BKh, columns_BKw, strict=True)  # clip by clip: K maps of a whole batch would take much memory
    map_Bhw = torch.stack([(rows_Kh[:, :, None] * columns_Kw[:, None, :]).amax(0) for rows_Kh, columns_Kw in clips])
    return (map_Bhw / map_Bhw.amax(dim=(1, 2), keepdim=True)).clamp_min(EPS)


def seed_tokens(key_B: Tensor, grid: TokenGrid, mask_ratio: float) -> Tensor:
    """Sampled tokens of the base slice, as many as a tube mask leaves visible: int64 (B, K)."""
    return random_order(key_B, grid.per_slice, "motion map")[:, num_hidden(grid.per_slice, mask_ratio) :]


def _gaussian(token_BK: Tensor, side: int, length: int) -> Tensor:
    """A Gaussian along one axis at the center of each token, 1 / e at one token's distance: (B, K, length)."""
    center_BK1 = (token_BK[:, :, None] + 0.5) * side - 0.5
    return (-((torch.arange(length, device=token_BK.device) - center_BK1) / side).square()).exp()
