"""Tube masks.

The same places are hidden in every time slice (Tong et al., "VideoMAE", NeurIPS 2022, arXiv 2203.12602, section 3.3).
"""

from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.randomness import random_order


def tube_mask(key_B: Tensor, grid: TokenGrid, ratio: float) -> TokenSplit:
    """Hide ``int(ratio * places)`` of the places of a slice, the same in every slice.

    Args:
        key_B: int64 (B,) keys; each clip has its own mask.
        grid: the tokens of the clip.
        ratio: share of hidden places, between 0 and 1 (0.9 in the paper: 176 of 196 hidden, 20 x 8 = 160 tokens
            visible).

    Raises:
        ValueError: the ratio leaves nothing visible or nothing hidden.
    """
    hidden = num_hidden(grid.per_slice, ratio)
    order_BS = random_order(key_B, grid.per_slice, "tube")
    return TokenSplit(
        visible=_along_time(order_BS[:, hidden:], grid),
        predicted=_along_time(order_BS[:, :hidden], grid),
    )


def num_hidden(places: int, ratio: float) -> int:
    """``int(ratio * places)``, refused where it hides nothing or everything."""
    hidden = int(ratio * places) if 0 < ratio < 1 else 0
    if not 0 < hidden < places:
        raise ValueError(
            f"mask_ratio = {ratio} hides {ratio * places:g} of {places} places: "
            "choose one above 0 and below 1 that leaves some of each"
        )
    return hidden


def _along_time(places_BP: Tensor, grid: TokenGrid) -> Tensor:
    """The tokens at these places of every slice, ascending: (B, time * P)."""
    slices_T = places_BP.new_tensor(range(grid.time)) * grid.per_slice
    return (places_BP.sort(dim=1).values[:, None, :] + slices_T[None, :, None]).flatten(1)
