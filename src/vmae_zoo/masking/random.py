"""Random masks without structure.

Each token is hidden alike: over the places of an image (He et al., "Masked Autoencoders Are Scalable Vision Learners",
CVPR 2022, arXiv 2111.06377) or over the whole space-time grid, "agnostic" (Feichtenhofer et al., NeurIPS 2022, arXiv
2205.09113).
"""

from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.randomness import random_order


def random_mask(key_B: Tensor, grid: TokenGrid, ratio: float) -> TokenSplit:
    """Keep ``int(tokens * (1 - ratio))`` tokens of each clip.

    Args:
        key_B: int64 (B,) keys; each clip has its own mask.
        grid: the tokens of the clip.
        ratio: share of hidden tokens, between 0 and 1 (0.75 for images: 49 of 196 visible; 0.9 for clips: 156 of 1568).

    Raises:
        ValueError: the ratio leaves nothing visible or nothing hidden.
    """
    kept = num_visible(grid.tokens, ratio)
    order_BN = random_order(key_B, grid.tokens, "uniform")
    return TokenSplit(visible=order_BN[:, :kept].sort(1).values, predicted=order_BN[:, kept:].sort(1).values)


def num_visible(tokens: int, ratio: float) -> int:
    """``int(tokens * (1 - ratio))``, in floating point as the official programs; refused where it is none or all."""
    kept = int(tokens * (1 - ratio)) if 0 < ratio < 1 else 0
    if not 0 < kept < tokens:
        raise ValueError(
            f"mask_ratio = {ratio} leaves {tokens * (1 - ratio):g} of {tokens} tokens visible: "
            "choose one above 0 and below 1 that leaves some of each"
        )
    return kept
