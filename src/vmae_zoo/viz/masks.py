"""Visible and predicted tokens of a clip, and the order of visited clusters, painted over the clip.

Shapes: T frames, H rows, W columns; N tokens of the grid.
"""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from vmae_zoo.masking.clusters import ClusterOrder
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.methods.mgmae import MGMAE
from vmae_zoo.viz.picture import Panel
from vmae_zoo.viz.reconstruction import cluster_tokens, ids_to_mask, token_masks

HIDDEN, COVER = (56, 82, 130), 0.75  # blue that covers hidden tokens, and its share: distinct from black and from gray
LEGIBLE = 160  # pixels of a frame that holds numbers
OUTLINE = (255, 196, 0)
VISITS = ((72, 20, 120), (30, 140, 150), (250, 225, 40))  # colors of the first, a middle and the last visited cluster


def show_split(method: MaskedMethod, split: TokenSplit | ClusterOrder, frames_THWC: np.ndarray, clip: int = 0) -> Panel:
    """A panel of all frames: the clip, its visible tokens, and the predicted or visited ones."""
    grid = method.grid
    seen_BN, _, predicted_BM = token_masks(method, split)
    seen_N = _mask(seen_BN[clip])
    rows = {"clip": frames_THWC, "encoder sees": covered(frames_THWC, seen_N, grid)}
    counts = f"{int(seen_N.sum())} of {grid.tokens} tokens visible, {predicted_BM.shape[1]} predicted"
    if isinstance(split, ClusterOrder):
        step_N = np.full(grid.tokens, -1)
        for step, cluster in enumerate(split.order[clip].tolist()):
            step_N[cluster_tokens(method)[cluster].cpu().numpy()] = step
        painted_THWC = colored(frames_THWC, step_N, len(split.order[clip]), seen_N, grid)
        rows["order of visit"] = numbered(painted_THWC, step_N, grid)
        counts += f" in {len(split.order[clip]) - 1} steps"
    elif split.weight is not None or split.visible.shape[1] + split.predicted.shape[1] < grid.tokens:
        decoded_N = _mask(ids_to_mask(predicted_BM, grid)[clip])
        rows["to predict"] = outlined(covered(frames_THWC, seen_N | decoded_N, grid), decoded_N, grid)
    return Panel(type(method).__name__, rows, counts)


def show_masks(method: MaskedMethod, masks: Any, frames_THWC: np.ndarray) -> list[Panel]:
    """A panel as of `show_split` for what ``sample_mask`` returned: one, or one a mask set; with the flow of MGMAE."""
    if isinstance(masks, list):
        panels = [show_split(method, split, frames_THWC) for split in masks]
        sets = f"mask set {{}} of {len(panels)}"
        return [replace(panel, title=f"{panel.title}, {sets.format(k)}") for k, panel in enumerate(panels, start=1)]
    panel = show_split(method, masks, frames_THWC)
    if isinstance(method, MGMAE):
        panel.rows["flow"] = show_flow(method, frames_THWC)
    return [panel]


def show_flow(method: MGMAE, frames_THWC: np.ndarray) -> np.ndarray:
    """The optical flow from each frame to the next, as the method estimates it: its angle as hue, its length as light.

    The last frame repeats the flow before it.
    """
    pairs_P2 = np.stack([np.arange(len(frames_THWC) - 1), np.arange(1, len(frames_THWC))], axis=1)
    if method.hparams["flow"] == "raft":
        video_1CTHW = torch.from_numpy(frames_THWC).permute(3, 0, 1, 2)[None]
        flow_Phw2 = method.raft()(video_1CTHW, torch.from_numpy(pairs_P2)[None])[0].cpu().numpy()
    else:
        flow_Phw2 = method.guide.estimate(frames_THWC, pairs_P2)
    return color_flow(np.concatenate([flow_Phw2, flow_Phw2[-1:]]), frames_THWC.shape[1:3])


def color_flow(flow_Thw2: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Flow as colors on black, uint8 (T, H, W, 3); full light at the 99th percentile of the lengths.

    Lengths below 1/224 of the height are dark in any clip.
    """
    length_Thw = np.hypot(flow_Thw2[..., 0], flow_Thw2[..., 1])
    angle_Thw = (np.degrees(np.arctan2(flow_Thw2[..., 1], flow_Thw2[..., 0])) % 360) / 2  # OpenCV halves degrees
    light_Thw = 255 * np.clip(length_Thw / max(float(np.percentile(length_Thw, 99)), size[0] / 224), 0, 1)
    hsv_Thw3 = np.stack([angle_Thw, np.full_like(angle_Thw, 200), light_Thw], axis=-1).astype(np.uint8)
    height, width = size
    rgb = [cv2.cvtColor(frame, cv2.COLOR_HSV2RGB) for frame in hsv_Thw3]
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in rgb])


def token_ids(split: Any) -> dict[str, list]:
    """The token ids of the first clip as lists."""
    if isinstance(split, list):
        return {"sets": [token_ids(each) for each in split]}
    return {name: values[0].tolist() for name, values in vars(split).items() if values is not None}


def covered(frames_THWC: np.ndarray, seen_N: np.ndarray, grid: TokenGrid) -> np.ndarray:
    """Frames, covered with blue outside of these tokens."""
    cover_THW1 = np.where(over_pixels(seen_N, grid), 0.0, COVER)[..., None]
    return (frames_THWC * (1 - cover_THW1) + np.array(HIDDEN) * cover_THW1).astype(np.uint8)


def outlined(frames_THWC: np.ndarray, mask_N: np.ndarray, grid: TokenGrid) -> np.ndarray:
    """Frames with a line around each of these tokens."""
    _, q, r = grid.cube
    rows, columns = np.arange(frames_THWC.shape[1]) % q, np.arange(frames_THWC.shape[2]) % r
    edge_HW = ((rows == 0) | (rows == q - 1))[:, None] | ((columns == 0) | (columns == r - 1))[None]
    painted = frames_THWC.copy()
    painted[over_pixels(mask_N, grid) & edge_HW] = OUTLINE
    return painted


def colored(frames_THWC: np.ndarray, step_N: np.ndarray, steps: int, seen_N: np.ndarray, grid: TokenGrid) -> np.ndarray:
    """Frames tinted by the step at which each token's cluster is visited; hidden tokens are darker."""
    share_THW = over_pixels(step_N / max(steps - 1, 1), grid)
    stops = np.linspace(0, 1, len(VISITS))
    tint = np.stack([np.interp(share_THW, stops, channel) for channel in zip(*VISITS, strict=True)], axis=-1)
    light_THW1 = frames_THWC.mean(-1, keepdims=True) / 255
    strength_THW1 = np.where(over_pixels(seen_N, grid), 1.0, 0.6)[..., None]
    return (tint * (0.4 + 0.6 * light_THW1) * strength_THW1).astype(np.uint8)


def numbered(frames_THWC: np.ndarray, step_N: np.ndarray, grid: TokenGrid) -> np.ndarray:
    """Frames, enlarged if they are small, with the number of its step, from 1, in the middle of each cluster."""
    zoom = max(1, LEGIBLE // frames_THWC.shape[1])
    large_THWC = frames_THWC.repeat(zoom, 1).repeat(zoom, 2)
    depth, q, r = grid.cube
    for frame, step_HW in zip(large_THWC, step_N.reshape(grid.shape).repeat(depth, 0), strict=True):
        for step in np.unique(step_HW[step_HW >= 0]):
            row, column = (np.argwhere(step_HW == step).mean(0) + 0.5) * (q, r) * zoom
            (width, height), _ = cv2.getTextSize(str(step + 1), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 2)
            place = round(column - width / 2), round(row + height / 2)
            for color, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):
                cv2.putText(frame, str(step + 1), place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, color, thickness, cv2.LINE_AA)
    return large_THWC


def over_pixels(values_N: np.ndarray, grid: TokenGrid) -> np.ndarray:
    """Values of tokens at their pixels: (T, H, W)."""
    frames, rows, columns = grid.cube
    return values_N.reshape(grid.shape).repeat(frames, 0).repeat(rows, 1).repeat(columns, 2)


def _mask(mask_N: Tensor) -> np.ndarray:
    return mask_N.cpu().numpy()
