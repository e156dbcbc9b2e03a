"""Tube masks: the same spatial positions are hidden in every time slice.

Tong et al., "VideoMAE", NeurIPS 2022, arXiv 2203.12602, section 3.3.

Shapes: B clips, S spatial positions of a slice, P of them.
"""

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.randomness import random_order


def tube_mask(key_B: Tensor, grid: TokenGrid, ratio: float) -> TokenSplit:
    """Hide ``int(ratio * S)`` of the S spatial positions, the same in every time slice.

    Args:
        key_B: int64 (B,) keys; each clip has its own mask.
        grid: tokens of a clip.
        ratio: fraction of hidden positions, between 0 and 1 (0.9 in the paper: 176 of 196 hidden, 20 x 8 = 160 tokens
            visible).

    Raises:
        ValueError: the ratio leaves no token visible or none hidden.
    """
    hidden = num_hidden(grid.per_slice, ratio)
    order_BS = random_order(key_B, grid.per_slice, "tube")
    return TokenSplit(
        visible=_in_every_slice(order_BS[:, hidden:], grid),
        predicted=_in_every_slice(order_BS[:, :hidden], grid),
    )


def num_hidden(tokens: int, ratio: float) -> int:
    """``int(ratio * tokens)``; ``ValueError`` if that is 0 or all of them."""
    hidden = int(ratio * tokens) if 0 < ratio < 1 else 0
    if not 0 < hidden < tokens:
        raise ValueError(
            f"mask_ratio = {ratio} hides {ratio * tokens:g} of {tokens} tokens: choose a ratio above 0 and below 1 "
            "that leaves at least one token hidden and one visible"
        )
    return hidden


def _in_every_slice(position_BP: Tensor, grid: TokenGrid) -> Tensor:
    """Ids of the tokens at these positions in every slice, ascending: (B, time * P)."""
    first_T = grid.per_slice * torch.arange(grid.time, device=position_BP.device)
    return (position_BP.sort(dim=1).values[:, None, :] + first_T[None, :, None]).flatten(1)
