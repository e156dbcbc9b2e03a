"""Losses that need no learning: what a prediction has to beat before it shows that anything was learned.

Predicting zero is beaten by any constant that fits the data. The nulls here know the targets: each clip's mean over
what is to be predicted, each place's mean over the times that are visible, and the nearest visible cube copied.

Shapes: B clips, N tokens of the grid, V visible, M predicted; K = values of a cube.
"""

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid


def null_predictions(
    target_BNK: Tensor,
    visible_BV: Tensor,
    predicted_BM: Tensor,
    grid: TokenGrid,
    weight_BM: Tensor | None = None,
    allowed_MV: Tensor | None = None,
) -> dict[str, Tensor]:
    """Predictions (B or 1, M or 1, K) of each null; a null is left out where no clip has what it needs.

    * ``clip_mean``: each clip's mean target over the predicted tokens, which no predictor sees.
    * ``place_mean``: the mean of the visible targets of the same row and column; elsewhere the mean of all visible
      targets of the clip. Left out where no token that counts has a visible one in its row and column (a tube mask).
    * ``copy``: the visible target of the nearest token, in space first, then in time.

    Args:
        target_BNK: targets of all tokens.
        visible_BV: int64 ids of the tokens that the encoder sees.
        predicted_BM: int64 ids of the tokens to predict.
        grid: of the tokens.
        weight_BM: of the predicted tokens in the loss; None: all alike.
        allowed_MV: bool, True where a prediction may depend on a visible token; None: everywhere. Every row has one.
    """
    with torch.autocast(target_BNK.device.type, enabled=False):
        return _null_predictions(target_BNK.float(), visible_BV, predicted_BM, grid, weight_BM, allowed_MV)


def _null_predictions(
    target_BNK: Tensor,
    visible_BV: Tensor,
    predicted_BM: Tensor,
    grid: TokenGrid,
    weight_BM: Tensor | None,
    allowed_MV: Tensor | None,
) -> dict[str, Tensor]:
    found = {"clip_mean": _clip_mean(_rows(target_BNK, predicted_BM), weight_BM)}
    seen_BVK = _rows(target_BNK, visible_BV)
    apart_BMV = _squared_distance(predicted_BM, visible_BV, grid)
    usable_BMV = torch.ones_like(apart_BMV, dtype=torch.bool) if allowed_MV is None else allowed_MV.expand_as(apart_BMV)
    same_BMV = (apart_BMV == 0) & usable_BMV
    has_same_BM = same_BMV.any(2) if weight_BM is None else same_BMV.any(2) & (weight_BM > 0)
    if bool(has_same_BM.any()):
        found["place_mean"] = _place_mean(seen_BVK, same_BMV, usable_BMV)
    between_BMV = (predicted_BM[:, :, None] // grid.per_slice - visible_BV[:, None] // grid.per_slice).abs()
    rank_BMV = (apart_BMV * grid.time + between_BMV).masked_fill(~usable_BMV, torch.iinfo(torch.int64).max)
    found["copy"] = _rows(seen_BVK, rank_BMV.argmin(2))
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


def _rows(values_BNK: Tensor, ids_BM: Tensor) -> Tensor:
    return values_BNK.gather(1, ids_BM[:, :, None].expand(-1, -1, values_BNK.shape[2]))
