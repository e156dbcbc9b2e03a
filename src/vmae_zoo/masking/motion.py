"""Masks that follow the motion of a clip.

MGMAE (Huang, Zhao, Zhang, Gong, Wang, "MGMAE: Motion Guided Masking for Video Masked Autoencoding", ICCV 2023, arXiv
2308.10794; not "Motion Guided Masking for Spatiotemporal Representation Learning" of the same conference). A map of
random bumps is drawn on one base frame, optical flow carries it to the other frames, one neighbour at a time, and in
every slice the tokens with most of it are visible.

The released program fetches frames before the base frame along the flow of the opposite direction, so their map moves
backwards; here both directions of time follow the motion.

Shapes: B clips, T frames, H rows, W columns; N tokens, S = N / T' per slice, P = T - 1 pairs of neighbours; h, w = rows
and columns of the maps, which may be smaller than the clip.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from einops import reduce
from torch import Tensor

from vmae_zoo.flow import FlowFunction, dis_flow, flow_function
from vmae_zoo.flow.dense import largest_shrink
from vmae_zoo.flow.remap import backward_warp, fetch, forward_splat
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.tube import num_hidden
from vmae_zoo.randomness import random_bits, random_order

CHOICES = {
    "initial_map": ("mix_gauss", "pixel_rand", "token_rand"),
    "base_frame": ("middle", "first", "random"),
    "warp": ("backward", "forward"),
    "hole_filling": ("consist", "previous", "none"),
}
EPS = 1e-8  # the least value of a map, so that an exact 0 is a hole


@dataclass(frozen=True)
class MotionGuidedScorer:
    """How a clip's tokens are scored; called in a worker it scores one clip.

    Args:
        grid: the tokens of a clip.
        mask_ratio: share of hidden places; the rest are the bumps of the map (20 of 196 for 0.9).
        initial_map: "mix_gauss", a Gaussian bump per drawn place; "token_rand", all of a drawn place; "pixel_rand",
            drawn pixels.
        base_frame: where the map is drawn: the "middle" frame (T // 2), the "first" or a "random" one.
        warp: "backward", fetch along the flow to the neighbour nearer the base frame; "forward", splat along the flow
            from it.
        hole_filling: what enters where the flow points out of the frame: "consist", the base frame's map; "previous",
            the neighbour's; "none", nothing.
        flow: name of the workers' estimator or the function itself, see `vmae_zoo.flow`.
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
            if getattr(self, name) not in known:
                raise ValueError(f"{name} = {getattr(self, name)!r} is not known: choose one of {', '.join(known)}")

    def __call__(self, clip: np.ndarray, key: int) -> np.ndarray:
        """Scores of one clip, float32 (N,): those of `scores`, without torch's cost a call.

        Args:
            clip: uint8 (T, H, W, 3).
            key: of the clip.
        """
        key_1, frames = torch.tensor([key]), self.grid.pixels[0]
        flow_Phw2 = self.estimate(clip, self.pairs(key_1)[0].numpy())
        if self.warp == "forward":
            return self.scores(key_1, torch.from_numpy(flow_Phw2)[None])[0].numpy()
        first_hw = self.first_map(key_1, flow_Phw2.shape[1:3])[0].numpy()
        base_1 = self.base(key_1)
        volume_Thw = np.empty((frames, *first_hw.shape), np.float32)
        volume_Thw[int(base_1)] = first_hw
        for (new, known), flow_hw2 in zip(propagation_order(base_1, frames)[0].tolist(), flow_Phw2, strict=True):
            moved_hw = fetch(volume_Thw[known], flow_hw2)
            if self.hole_filling != "none":
                filling_hw = first_hw if self.hole_filling == "consist" else volume_Thw[known]
                np.copyto(moved_hw, filling_hw, where=moved_hw == 0)
            volume_Thw[new] = moved_hw
        return self.per_token(volume_Thw[None])[0]

    def estimate(self, clip: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """The workers' flow; as small as whole pixels a token allow where nothing is searched or stored any finer."""
        if self.flow == "dis":
            _, height, width = self.grid.cube
            return dis_flow(clip, pairs, largest_shrink(clip.shape[1:3], math.gcd(height, width)))
        return (flow_function(self.flow) if isinstance(self.flow, str) else self.flow)(clip, pairs)

    def base(self, key_B: Tensor) -> Tensor:
        """The base frame of each clip: int64 (B,)."""
        frames = self.grid.pixels[0]
        if self.base_frame == "random":
            return random_bits(key_B, 1, "base frame")[:, 0] % frames
        return torch.full_like(key_B, 0 if self.base_frame == "first" else frames // 2)

    def pairs(self, key_B: Tensor) -> Tensor:
        """Pairs of frames whose flow the warp needs, from which to which, in the order of use: int64 (B, P, 2)."""
        new_and_known = propagation_order(self.base(key_B), self.grid.pixels[0])
        return new_and_known if self.warp == "backward" else new_and_known.flip(2)

    def scores(self, key_B: Tensor, flow_BPhw2: Tensor) -> Tensor:
        """How much of the map each token holds: float32 (B, N), summed over the cube's pixels.

        Args:
            key_B: int64 (B,) keys.
            flow_BPhw2: float32, of `pairs`; h and w multiples of the grid's.
        """
        return self.per_token(self.volume(key_B, flow_BPhw2))

    def per_token(self, volume_BThw):
        """The maps summed over each cube: (B, N); tensors and arrays alike."""
        time, height, width = self.grid.shape
        return reduce(volume_BThw, "b (t p) (h q) (w r) -> b (t h w)", "sum", t=time, h=height, w=width)

    def first_map(self, key_B: Tensor, size: tuple[int, int]) -> Tensor:
        """The map of the base frame: float32 (B, h, w); ``ValueError`` where tokens do not divide it."""
        height, width = size
        if height % self.grid.height or width % self.grid.width:
            raise ValueError(
                f"a flow of {height} x {width} pixels does not divide into {self.grid.height} x {self.grid.width} "
                "tokens: give one of the clip's size, or of that divided by 2 or 4"
            )
        return initial_map(key_B, self.grid, size, self.mask_ratio, self.initial_map)

    def volume(self, key_B: Tensor, flow_BPhw2: Tensor) -> Tensor:
        """The map of every frame: float32 (B, T, h, w)."""
        frames = self.grid.pixels[0]
        first_Bhw = self.first_map(key_B, (flow_BPhw2.shape[2], flow_BPhw2.shape[3]))
        base_B = self.base(key_B)
        steps_BP2 = propagation_order(base_B, frames)
        starts_PB = (steps_BP2[:, :, 1] == base_B[:, None]).T
        move = backward_warp if self.warp == "backward" else forward_splat
        maps = [first_Bhw]
        for step, starts_B in enumerate(starts_PB):  # each goes on from the last one, or starts from the base frame
            known_Bhw = torch.where(starts_B[:, None, None], first_Bhw, maps[-1])
            moved_Bhw = move(known_Bhw, flow_BPhw2[:, step])
            if self.hole_filling != "none":
                filling_Bhw = first_Bhw if self.hole_filling == "consist" else known_Bhw
                moved_Bhw = torch.where(moved_Bhw == 0, filling_Bhw, moved_Bhw)
            maps.append(moved_Bhw)
        place_BT = torch.cat([base_B[:, None], steps_BP2[:, :, 0]], dim=1).argsort(dim=1)
        clips_B1 = torch.arange(len(key_B), device=key_B.device)[:, None]
        return torch.stack(maps, dim=1)[clips_B1, place_BT]


def propagation_order(base_B: Tensor, frames: int) -> Tensor:
    """Every other frame and its neighbour nearer the base frame, the future first: int64 (B, T - 1, 2)."""
    step_P = torch.arange(frames - 1, device=base_B.device)
    later_BP = base_B[:, None] + 1 + step_P
    earlier_BP = frames - 2 - step_P  # those left over when the last frame is reached
    future_BP = later_BP < frames
    new_BP = torch.where(future_BP, later_BP, earlier_BP)
    return torch.stack([new_BP, torch.where(future_BP, new_BP - 1, new_BP + 1)], dim=2)


def initial_map(key_B: Tensor, grid: TokenGrid, size: tuple[int, int], mask_ratio: float, kind: str) -> Tensor:
    """The map of the base frame: float32 (B, h, w), from `EPS` to 1.

    Args:
        key_B: int64 (B,) keys; each clip has its own map.
        grid: the tokens of a clip.
        size: rows and columns of the map.
        mask_ratio: share left out of the map.
        kind: see `MotionGuidedScorer`.
    """
    height, width = size
    if kind == "pixel_rand":
        drawn_BK = random_order(key_B, height * width, "motion map")[:, : int(height * width * (1 - mask_ratio))]
        map_BN = torch.full((len(key_B), height * width), EPS, device=key_B.device)
        return map_BN.scatter(1, drawn_BK, 1.0).view(-1, height, width)
    seeds_BK = seed_places(key_B, grid, mask_ratio)
    down, right = height // grid.height, width // grid.width
    if kind == "token_rand":
        map_BS = torch.full((len(key_B), grid.per_slice), EPS, device=key_B.device).scatter(1, seeds_BK, 1.0)
        return map_BS.view(-1, grid.height, grid.width).repeat_interleave(down, 1).repeat_interleave(right, 2)
    rows_BKh = _gaussian(seeds_BK // grid.width, down, height)
    columns_BKw = _gaussian(seeds_BK % grid.width, right, width)
    clips = zip(rows_BKh, columns_BKw, strict=True)  # one by one: all at once would take K maps of memory for each
    map_Bhw = torch.stack([(rows_Kh[:, :, None] * columns_Kw[:, None, :]).amax(0) for rows_Kh, columns_Kw in clips])
    return (map_Bhw / map_Bhw.amax(dim=(1, 2), keepdim=True)).clamp_min(EPS)


def seed_places(key_B: Tensor, grid: TokenGrid, mask_ratio: float) -> Tensor:
    """The drawn places of a slice, as many as VideoMAE shows: int64 (B, K)."""
    return random_order(key_B, grid.per_slice, "motion map")[:, num_hidden(grid.per_slice, mask_ratio) :]


def _gaussian(cell_BK: Tensor, side: int, length: int) -> Tensor:
    """A bump over each cell's centre that falls to 1 / e one cell away: (B, K, length)."""
    centre_BK1 = (cell_BK[:, :, None] + 0.5) * side - 0.5
    return (-((torch.arange(length, device=cell_BK.device) - centre_BK1) / side).square()).exp()
