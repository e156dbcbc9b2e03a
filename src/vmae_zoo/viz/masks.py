"""Visible and predicted tokens of a clip, and the order of visited clusters, painted over the clip.

Shapes: T frames, H rows, W columns; N tokens of the grid.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from vmae_zoo.masking.clusters import ClusterOrder
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.viz.picture import Panel
from vmae_zoo.viz.reconstruction import cluster_tokens, ids_to_mask, token_masks

DIM = 0.22  # brightness of a hidden token
OUTLINE = (255, 196, 0)
VISITS = ((72, 20, 120), (30, 140, 150), (250, 225, 40))  # colors of the first, a middle and the last visited cluster


def show_split(method: MaskedMethod, split: TokenSplit | ClusterOrder, frames_THWC: np.ndarray, clip: int = 0) -> Panel:
    """A panel with one column per time slice: the clip, its visible tokens, and the predicted or visited ones.

    Args:
        method: the method.
        split: its mask.
        frames_THWC: uint8, the clip at the method's size.
        clip: index of the clip in the split.
    """
    grid = method.grid
    seen_BN, _, predicted_BM = token_masks(method, split)
    seen_N = _mask(seen_BN[clip])
    slices = frames_THWC[:: grid.cube[0]]
    rows = {"clip": slices, "encoder sees": dimmed(slices, seen_N, grid)}
    counts = f"{int(seen_N.sum())} of {grid.tokens} tokens visible, {predicted_BM.shape[1]} predicted"
    if isinstance(split, ClusterOrder):
        step_N = np.full(grid.tokens, -1)
        for step, cluster in enumerate(split.order[clip].tolist()):
            step_N[cluster_tokens(method)[cluster].cpu().numpy()] = step
        rows["order of visit"] = colored(slices, step_N, len(split.order[clip]), seen_N, grid)
        counts += f" in {len(split.order[clip]) - 1} steps, first dark, last bright"
    elif split.weight is not None or split.visible.shape[1] + split.predicted.shape[1] < grid.tokens:
        decoded_N = _mask(ids_to_mask(predicted_BM, grid)[clip])
        rows["decoder predicts"] = outlined(dimmed(slices, seen_N | decoded_N, grid), decoded_N, grid)
    return Panel(type(method).__name__, rows, counts)


def show_masks(method: MaskedMethod, masks: Any, frames_THWC: np.ndarray, clip: int = 0) -> list[Panel]:
    """A panel as of `show_split` for what ``sample_mask`` returned: one, or one a mask set."""
    if not isinstance(masks, list):
        return [show_split(method, masks, frames_THWC, clip)]
    panels = [show_split(method, split, frames_THWC, clip) for split in masks]
    return [replace(panel, title=f"{panel.title}, mask set {place}") for place, panel in enumerate(panels)]


def token_ids(split: Any, clip: int = 0) -> dict[str, list]:
    """The token ids of a clip as lists."""
    if isinstance(split, list):
        return {"sets": [token_ids(each, clip) for each in split]}
    return {name: values[clip].tolist() for name, values in vars(split).items() if values is not None}


def dimmed(slices_tHWC: np.ndarray, bright_N: np.ndarray, grid: TokenGrid) -> np.ndarray:
    """Frames, one per time slice, darkened outside of these tokens."""
    light_tHW1 = np.where(over_pixels(bright_N, grid), 1.0, DIM)[..., None]
    return (slices_tHWC * light_tHW1).astype(np.uint8)


def outlined(slices_tHWC: np.ndarray, mask_N: np.ndarray, grid: TokenGrid) -> np.ndarray:
    """Frames with a line around each of these tokens."""
    _, q, r = grid.cube
    rows, columns = np.arange(slices_tHWC.shape[1]) % q, np.arange(slices_tHWC.shape[2]) % r
    edge_HW = ((rows == 0) | (rows == q - 1))[:, None] | ((columns == 0) | (columns == r - 1))[None]
    painted = slices_tHWC.copy()
    painted[over_pixels(mask_N, grid) & edge_HW] = OUTLINE
    return painted


def colored(slices_tHWC: np.ndarray, step_N: np.ndarray, steps: int, seen_N: np.ndarray, grid: TokenGrid) -> np.ndarray:
    """Frames tinted by the step at which each token's cluster is visited; hidden tokens are darker."""
    share_tHW = over_pixels(step_N / max(steps - 1, 1), grid)
    stops = np.linspace(0, 1, len(VISITS))
    tint = np.stack([np.interp(share_tHW, stops, channel) for channel in zip(*VISITS, strict=True)], axis=-1)
    light_tHW1 = slices_tHWC.mean(-1, keepdims=True) / 255
    strength_tHW1 = np.where(over_pixels(seen_N, grid), 1.0, 0.6)[..., None]
    return (tint * (0.4 + 0.6 * light_tHW1) * strength_tHW1).astype(np.uint8)


def over_pixels(values_N: np.ndarray, grid: TokenGrid) -> np.ndarray:
    """Values of tokens at their pixels, one frame per time slice: (t, H, W)."""
    return values_N.reshape(grid.shape).repeat(grid.cube[1], 1).repeat(grid.cube[2], 2)


def _mask(mask_N: Tensor) -> np.ndarray:
    return mask_N.cpu().numpy()
