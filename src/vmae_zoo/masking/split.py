"""The tokens that the encoder sees and those that the decoder predicts.

Shapes: B clips, N tokens of the grid, V visible, M predicted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenSplit:
    """Token ids of each clip, ascending; every row has the same number.

    Args:
        visible: int64 (B, V), tokens that the encoder sees.
        predicted: int64 (B, M), tokens that the decoder predicts.
        weight: float (B, M), weight of each predicted token in the loss; None for equal weights.
    """

    visible: Tensor
    predicted: Tensor
    weight: Tensor | None = None

    @classmethod
    def from_masks(cls, hidden: Tensor, decoded: Tensor | None = None) -> "TokenSplit":
        """Create a split from boolean masks over the grid.

        Args:
            hidden: bool (B, N), True if the encoder does not see the token.
            decoded: bool (B, N), True if the decoder predicts the token; None to predict the hidden ones. If given,
                only hidden tokens count in the loss (VideoMAE V2; its official decoder mask is inverted: True = not
                decoded).

        Raises:
            ValueError: the masks differ in shape, rows differ in their number of tokens, or no token is visible or
                predicted.
        """
        hidden = _as_mask(hidden, "hidden")
        visible = _true_ids(~hidden, "visible")
        if decoded is None:
            return cls(visible, _true_ids(hidden, "hidden"))
        decoded = _as_mask(decoded, "decoded")
        if decoded.shape != hidden.shape:
            raise ValueError(
                f"hidden has shape {tuple(hidden.shape)} and decoded {tuple(decoded.shape)}: give masks of one shape"
            )
        predicted = _true_ids(decoded, "decoded")
        weight = hidden.gather(1, predicted).float()
        if not bool(weight.any()):
            raise ValueError("no decoded token is hidden, so that every weight is 0: decode at least one hidden token")
        return cls(visible, predicted, weight)

    def hidden(self, tokens: int) -> Tensor:
        """The mask: bool (B, tokens), True if the encoder does not see the token."""
        mask = torch.ones(len(self.visible), tokens, dtype=torch.bool, device=self.visible.device)
        return mask.scatter(1, self.visible, False)

    def to(self, device: torch.device | str) -> "TokenSplit":
        """Copy to a device."""
        weight = None if self.weight is None else self.weight.to(device)
        return TokenSplit(self.visible.to(device), self.predicted.to(device), weight)


def _as_mask(mask: Tensor, name: str) -> Tensor:
    if mask.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(mask.shape)}: a mask must be (clips, tokens)")
    return mask.bool()


def _true_ids(mask_BN: Tensor, name: str) -> Tensor:
    counts = mask_BN.sum(1).tolist()
    if len(set(counts)) != 1:
        raise ValueError(f"the clips have {counts} {name} tokens: all must have the same number")
    if counts[0] == 0:
        raise ValueError(f"there is no {name} token: choose a mask ratio above 0 and below 1")
    return mask_BN.nonzero()[:, 1].view(len(mask_BN), counts[0])
