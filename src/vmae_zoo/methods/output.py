"""What the forward pass of a method returns, and the loss on pixels.

Shapes: B clips, M predicted tokens, K values of a token.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Output:
    """What ``forward`` returns.

    Args:
        loss: scalar.
        prediction: (B, M, K), in the order of ``split.predicted``; None if the method predicts no pixels.
        target: (B, M, K).
        weight: (B, M), weight of each predicted token in the loss; None for equal weights.
    """

    loss: Tensor
    prediction: Tensor | None = None
    target: Tensor | None = None
    weight: Tensor | None = None


def weighted_mse(prediction_BMK: Tensor, target_BMK: Tensor, weight_BM: Tensor | None = None) -> Tensor:
    """Mean squared error of each token, averaged over tokens: the mean, or sum(weight * error) / sum(weight)."""
    error_BM = (prediction_BMK.float() - target_BMK).square().mean(-1)
    return error_BM.mean() if weight_BM is None else (weight_BM * error_BM).sum() / weight_BM.sum()
