"""Which tokens the encoder sees and which the decoder predicts.

Shapes: B clips, N tokens of the grid, V visible, M predicted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenSplit:
    """Token ids per clip, ascending, the same count in every row.

    Args:
        visible: int64 (B, V), what the encoder sees.
        predicted: int64 (B, M), what the decoder predicts.
        weight: float (B, M), how much each predicted token counts in the loss; None counts all alike.
    """

    visible: Tensor
    predicted: Tensor
    weight: Tensor | None = None

    @classmethod
    def from_masks(cls, hidden: Tensor, decoded: Tensor | None = None) -> "TokenSplit":
        """Make a split from masks over the grid.

        Args:
            hidden: bool (B, N), True where the encoder does not see the token.
            decoded: bool (B, N), True where the decoder predicts the token; None: the hidden ones. With it, only tokens
                that were hidden count in the loss (VideoMAE V2: its official decoder mask is the opposite, True = not
                decoded).

        Raises:
            ValueError: the masks differ in shape, or their rows in count, or no token would be visible or predicted.
        """
        hidden = _as_mask(hidden, "hidden")
        visible = _true_ids(~hidden, "visible")
        if decoded is None:
            return cls(visible, _true_ids(hidden, "hidden"))
        decoded = _as_mask(decoded, "decoded")
        if decoded.shape != hidden.shape:
            raise ValueError(
                f"hidden is {tuple(hidden.shape)} and decoded {tuple(decoded.shape)}: they mask the same tokens"
            )
        predicted = _true_ids(decoded, "decoded")
        weight = hidden.gather(1, predicted).float()
        if not bool(weight.any()):
            raise ValueError("no decoded token is hidden: there is nothing to learn from")
        return cls(visible, predicted, weight)

    def hidden(self, tokens: int) -> Tensor:
        """Bool (B, tokens), True where the encoder does not see the token."""
        mask = torch.ones(len(self.visible), tokens, dtype=torch.bool, device=self.visible.device)
        return mask.scatter(1, self.visible, False)

    def to(self, device: torch.device | str) -> "TokenSplit":
        """The same split on another device."""
        weight = None if self.weight is None else self.weight.to(device)
        return TokenSplit(self.visible.to(device), self.predicted.to(device), weight)


def _as_mask(mask: Tensor, name: str) -> Tensor:
    if mask.ndim != 2:
        raise ValueError(f"{name} is {tuple(mask.shape)}: a mask is (clips, tokens)")
    return mask.bool()


def _true_ids(mask_BN: Tensor, name: str) -> Tensor:
    counts = mask_BN.sum(1).tolist()
    if len(set(counts)) != 1:
        raise ValueError(f"every clip needs the same number of {name} tokens, got {counts}")
    if counts[0] == 0:
        raise ValueError(f"no {name} token: with a mask ratio of 0 or 1 there is nothing to predict or to see")
    return mask_BN.nonzero()[:, 1].view(len(mask_BN), counts[0])
