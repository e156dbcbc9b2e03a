"""Masks from scores: the tokens with the highest ones are visible.

Shapes: B clips, N tokens, G groups of S tokens that compete with each other.
"""

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.masking.tube import num_hidden

ROUNDINGS = ("floor", "videomae")
TOPK = ("slice", "clip")


def topk_split(
    scores_BN: Tensor, grid: TokenGrid, mask_ratio: float, rounding: str = "floor", topk: str = "slice"
) -> TokenSplit:
    """Show the tokens with the highest scores.

    Args:
        scores_BN: float (B, N); of equal scores the lower id is visible.
        grid: the tokens of a clip.
        mask_ratio: share of hidden tokens.
        rounding: "floor" shows int((1 - ratio) * places) a slice (19 of 196 for 0.9, as MGMAE), "videomae"
            places - int(ratio * places), 20.
        topk: "slice", the same number in every slice; "clip", the highest of the whole clip, as many in total.
    """
    groups, shown = visible_per_group(grid, mask_ratio, rounding, topk)
    order_BGS = scores_BN.view(len(scores_BN), groups, -1).argsort(dim=2, descending=True, stable=True)
    first_G1 = torch.arange(groups, device=scores_BN.device)[:, None] * (grid.tokens // groups)
    visible_BV, predicted_BM = (
        (part_BGS.sort(dim=2).values + first_G1).flatten(1)
        for part_BGS in (order_BGS[..., :shown], order_BGS[..., shown:])
    )
    return TokenSplit(visible_BV, predicted_BM)


def visible_per_group(grid: TokenGrid, mask_ratio: float, rounding: str, topk: str) -> tuple[int, int]:
    """Groups of tokens, and how many of each are visible; ``ValueError`` for an unknown choice, or where none is."""
    for name, value, known in (("rounding", rounding, ROUNDINGS), ("topk", topk, TOPK)):
        if value not in known:
            raise ValueError(f"{name} = {value!r} is not known: choose one of {', '.join(known)}")
    places = grid.per_slice
    hidden = num_hidden(places, mask_ratio)
    shown = int((1 - mask_ratio) * places) if rounding == "floor" else places - hidden
    if not shown:
        raise ValueError(
            f"mask_ratio = {mask_ratio} shows none of {places} places: choose a lower one, or rounding = videomae"
        )
    return (grid.time, shown) if topk == "slice" else (1, shown * grid.time)
