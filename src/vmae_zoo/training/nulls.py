"""Null predictions: baselines without learning, whose losses a model has to fall below.

They are computed from the targets: the mean of each clip over the predicted tokens, the mean of each spatial position
over its visible time slices, and a copy of the nearest visible token.

Shapes: B clips, N tokens of the grid, V visible, M predicted; K = values of a cube.
"""

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.patchify import gather_tokens


def null_predictions(
    target_BNK: Tensor,
    visible_BV: Tensor,
    predicted_BM: Tensor,
    grid: TokenGrid,
    weight_BM: Tensor | None = None,
    allowed_MV: Tensor | None = None,
) -> dict[str, Tensor]:
    """Null predictions by name: float32 (B, M or 1, K).

    * ``clip_mean``: the mean target of each clip over the predicted tokens.
    * ``place_mean``: the mean of the visible targets of the same row and column, or, if there are none, of all visible
      targets of the clip. Left out if no predicted token has a visible one in its row and column (a tube mask).
    * ``copy``: the target of the nearest visible token, in space first, then in time.

    Args:
        target_BNK: targets of all tokens.
        visible_BV: int64 ids of the tokens that the encoder sees.
        predicted_BM: int64 ids of the predicted tokens.
        grid: tokens of a clip.
        weight_BM: weights of the predicted tokens in the loss; None for equal weights.
        allowed_MV: bool, True if the prediction of a token may depend on a visible one, which at least one entry of
            each row is; None: all are.
    """
    with torch.autocast(target_BNK.device.type, enabled=False):
        target_BNK = target_BNK.float()
        found = {"clip_mean": _clip_mean(gather_tokens(target_BNK, predicted_BM), weight_BM)}
        seen_BVK = gather_tokens(target_BNK, visible_BV)
        squared_BMV = _squared_distance(predicted_BM, visible_BV, grid)
        usable_BMV = torch.ones_like(squared_BMV, dtype=torch.bool)
        if allowed_MV is not None:
            usable_BMV = allowed_MV.expand_as(squared_BMV)
        same_BMV = (squared_BMV == 0) & usable_BMV
        has_same_BM = same_BMV.any(2) if weight_BM is None else same_BMV.any(2) & (weight_BM > 0)
        if bool(has_same_BM.any()):
            found["place_mean"] = _place_mean(seen_BVK, same_BMV, usable_BMV)
        slices_BMV = (predicted_BM[:, :, None] // grid.per_slice - visible_BV[:, None] // grid.per_slice).abs()
        rank_BMV = (squared_BMV * grid.time + slices_BMV).masked_fill(~usable_BMV, torch.iinfo(torch.int64).max)
        found["copy"] = gather_tokens(seen_BVK, rank_BMV.argmin(2))
        return found


def _clip_mean(target_BMK: Tensor, weight_BM: Tensor | None) -> Tensor:
    """The constant of least loss for each clip: (B, 1, K)."""
    if weight_BM is None:
        return target_BMK.mean(1, keepdim=True)
    share_BM1 = (weight_BM / weight_BM.sum(1, keepdim=True).clamp_min(1e-12))[:, :, None]
    return (share_BM1 * target_BMK).sum(1, keepdim=True)


def _place_mean(seen_BVK: Tensor, same_BMV: Tensor, usable_BMV: Tensor) -> Tensor:
    chosen_BMV = torch.where(same_BMV.any(2, keepdim=True), same_BMV, usable_BMV).float()
    return chosen_BMV / chosen_BMV.sum(2, keepdim=True) @ seen_BVK


def _squared_distance(predicted_BM: Tensor, visible_BV: Tensor, grid: TokenGrid) -> Tensor:
    """Between rows and columns of tokens, whatever their times: int64 (B, M, V)."""
    place_BM1, place_B1V = predicted_BM[:, :, None] % grid.per_slice, visible_BV[:, None] % grid.per_slice
    down_BMV = place_BM1 // grid.width - place_B1V // grid.width
    across_BMV = place_BM1 % grid.width - place_B1V % grid.width
    return down_BMV**2 + across_BMV**2
