"""Random masks: every token is hidden with the same probability.

Over the patches of an image (He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, arXiv
2111.06377) or over the whole space-time grid (Feichtenhofer et al., NeurIPS 2022, arXiv 2205.09113).

Shapes: B clips, N tokens.
"""

from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.randomness import random_order


def random_mask(key_B: Tensor, grid: TokenGrid, ratio: float) -> TokenSplit:
    """Leave ``int(N * (1 - ratio))`` tokens of each clip visible.

    Args:
        key_B: int64 (B,) keys; each clip has its own mask.
        grid: tokens of a clip.
        ratio: fraction of hidden tokens, between 0 and 1 (0.75 for images: 49 of 196 visible; 0.9 for clips: 156 of
            1568).

    Raises:
        ValueError: the ratio leaves no token visible or none hidden.
    """
    visible = num_visible(grid.tokens, ratio)
    order_BN = random_order(key_B, grid.tokens, "uniform")
    return TokenSplit(visible=order_BN[:, :visible].sort(1).values, predicted=order_BN[:, visible:].sort(1).values)


def num_visible(tokens: int, ratio: float) -> int:
    """``int(tokens * (1 - ratio))``, rounded as in the official programs; ``ValueError`` if that is 0 or all."""
    visible = int(tokens * (1 - ratio)) if 0 < ratio < 1 else 0
    if not 0 < visible < tokens:
        raise ValueError(
            f"mask_ratio = {ratio} leaves {tokens * (1 - ratio):g} of {tokens} tokens visible: choose a ratio above 0 "
            "and below 1 that leaves at least one token hidden and one visible"
        )
    return visible
