"""Masks from scores: the tokens with the highest scores are visible.

Shapes: B clips, N tokens, G groups of S tokens, of each of which the highest are selected.
"""

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.masking.tube import num_hidden
from vmae_zoo.setting_checks import check_choice

ROUNDINGS = ("floor", "videomae")
TOPK = ("slice", "clip")


def topk_split(
    scores_BN: Tensor, grid: TokenGrid, mask_ratio: float, rounding: str = "floor", topk: str = "slice"
) -> TokenSplit:
    """Make the tokens with the highest scores visible.

    Args:
        scores_BN: float (B, N); of equal scores the lower token id is visible.
        grid: tokens of a clip.
        mask_ratio: fraction of hidden tokens, between 0 and 1.
        rounding: "floor" makes ``int((1 - mask_ratio) * n)`` of the n tokens of a slice visible (19 of 196 at 0.9, as
            in MGMAE), "videomae" ``n - int(mask_ratio * n)`` (20).
        topk: "slice" selects the same number in every time slice, "clip" the highest of the whole clip, as many in
            total.
    """
    groups, visible = visible_per_group(grid, mask_ratio, rounding, topk)
    order_BGS = scores_BN.view(len(scores_BN), groups, -1).argsort(dim=2, descending=True, stable=True)
    first_G1 = torch.arange(groups, device=scores_BN.device)[:, None] * (grid.tokens // groups)
    visible_BV, predicted_BM = (
        (part_BGS.sort(dim=2).values + first_G1).flatten(1)
        for part_BGS in (order_BGS[..., :visible], order_BGS[..., visible:])
    )
    return TokenSplit(visible_BV, predicted_BM)


def visible_per_group(grid: TokenGrid, mask_ratio: float, rounding: str, topk: str) -> tuple[int, int]:
    """Number of groups, and of visible tokens in each; ``ValueError`` for an unknown option, or no visible token."""
    check_choice("rounding", rounding, ROUNDINGS)
    check_choice("topk", topk, TOPK)
    tokens = grid.per_slice
    hidden = num_hidden(tokens, mask_ratio)
    visible = int((1 - mask_ratio) * tokens) if rounding == "floor" else tokens - hidden
    if not visible:
        raise ValueError(
            f"mask_ratio = {mask_ratio} leaves none of the {tokens} tokens of a slice visible: "
            "choose a lower one, or rounding = videomae"
        )
    return (grid.time, visible) if topk == "slice" else (1, visible * grid.time)
