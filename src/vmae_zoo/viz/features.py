"""What an encoder makes of a clip: its tokens as colors, and where its last block attends.

The colors are the first three principal components of the clip's tokens, as DINOv2 shows patch features (Oquab et al.,
2024, arXiv 2304.07193): tokens of one color are alike for the encoder. An encoder that learned nothing shows the
texture of the pixels, one that collapsed a single color, one whose features are places rather than contents a gradient.

Shapes: B clips, T frames, N tokens, D = width, h heads; P = 1 if there is a class token.
"""

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.eval_mode import eval_mode
from vmae_zoo.viz.masks import over_pixels
from vmae_zoo.viz.picture import Panel

TAILS = 1.0, 99.0  # percentiles of a component that become black and full light


@torch.inference_mode()
def show_features(encoder: Encoder, video_1CTHW: Tensor, frames_THWC: np.ndarray, title: str = "") -> Panel:
    """A panel of all frames: the clip, its tokens as colors, and the attention that each token receives.

    Raises:
        ValueError: this is not an encoder of this package, whose tokens lie on a grid.
    """
    if not isinstance(encoder, Encoder):
        raise ValueError(
            f"{type(encoder).__name__} is not a vmae_zoo.models.encoder.Encoder: its tokens have no positions"
        )
    caught: dict[str, tuple[Any, ...]] = {}
    last: Any = encoder.blocks[-1].attn
    handle = last.register_forward_pre_hook(lambda _, inputs: caught.update(inputs=inputs))
    try:
        with eval_mode(encoder), torch.compiler.set_stance("force_eager"):
            tokens_ND = encoder(video_1CTHW)[0].float()
    finally:
        handle.remove()
    colors_N3, share = principal_colors(tokens_ND)
    colors_THWC = np.stack([over_pixels(channel_N, encoder.grid) for channel_N in colors_N3.T], axis=-1)
    rows = {"clip": frames_THWC, "token PCA": colors_THWC}
    note = f"three components hold {100 * share:.0f} % of the variance of {len(tokens_ND)} tokens"
    if encoder.attention == "joint":
        x_1ND, _, rotation = (*caught["inputs"], None, None)[:3]
        received_N = attention_received(last, x_1ND, rotation, int(encoder.cls_token is not None))
        rows["attention"] = heat(received_N, frames_THWC, encoder)
        source = "from the class token" if encoder.cls_token is not None else "mean of all tokens"
        largest = received_N.max() * len(received_N)
        note += f"; attention of the last block, {source} and heads, at most {largest:.1f} times the even share"
    return Panel(title, rows, note)


def principal_colors(tokens_ND: Tensor) -> tuple[np.ndarray, float]:
    """The first three principal components of tokens as uint8 (N, 3), and their share of the variance."""
    centered_ND = tokens_ND - tokens_ND.mean(0)
    _, values, directions = torch.linalg.svd(centered_ND, full_matrices=False)
    scores_N3 = (centered_ND @ directions[:3].T).cpu().numpy()
    low, high = np.percentile(scores_N3, TAILS, axis=0)
    colors_N3 = 255 * np.clip((scores_N3 - low) / np.maximum(high - low, 1e-12), 0, 1)
    total = float(values.square().sum())
    return colors_N3.round().astype(np.uint8), float(values[:3].square().sum()) / max(total, 1e-12)


@torch.no_grad()
def attention_received(attention: Any, x_1ND: Tensor, rotation: Any, prefix: int) -> np.ndarray:
    """Attention that each patch token receives, float32 (N,): from the class token, or the mean over all tokens.

    Heads are averaged; one head is computed at a time, since the matrix of a long clip is large.
    """
    q_1hNd, k_1hNd, _ = attention.queries_keys_values(x_1ND, rotation)
    if prefix:
        q_1hNd = q_1hNd[:, :, :1]
    rows = [
        (q_Nd @ k_Nd.T / q_Nd.shape[-1] ** 0.5).float().softmax(-1).mean(0)
        for q_Nd, k_Nd in zip(q_1hNd[0], k_1hNd[0], strict=True)
    ]
    return torch.stack(rows).mean(0)[prefix:].cpu().numpy()


def heat(values_N: np.ndarray, frames_THWC: np.ndarray, encoder: Encoder) -> np.ndarray:
    """Frames in gray, tinted from dark blue (0) to yellow (the largest value)."""
    share_N = values_N / max(float(np.percentile(values_N, TAILS[1])), 1e-12)
    share_THW = (255 * np.clip(over_pixels(share_N, encoder.grid), 0, 1)).astype(np.uint8)
    tint = np.stack([cv2.applyColorMap(frame, cv2.COLORMAP_VIRIDIS)[..., ::-1] for frame in share_THW])
    gray_THW1 = frames_THWC.mean(-1, keepdims=True)
    return (0.65 * tint + 0.35 * gray_THW1).astype(np.uint8)
