"""Linear probe: the accuracy of a linear map on frozen features.

The default protocol is cheap and exact: features of fixed views are computed once, and the head of each weight decay is
the minimum of its convex loss, found by L-BFGS, as in the probes of CLIP (Radford et al., ICML 2021, arXiv 2103.00020).
A minimum depends on no learning rate, batch size or number of epochs. Features are standardized by the training set:
the batch norm without parameters that He et al. (MAE, CVPR 2022, arXiv 2111.06377) put before their head.

Shapes: R videos, V views, M = R x V samples, D = width, P principal axes, H heads, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.probe import Settings

DECAYS = (10, 3, 1, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)  # each warm-starts the next


@dataclass(frozen=True)
class LBFGSSweep:
    """A head for each weight decay, a factor on half the squared norm of the weights, at the minimum of its loss.

    The loss is the mean cross-entropy plus that norm.
    """

    weight_decays: Sequence[float] = DECAYS
    seed: int = 0

    @property
    def heads(self) -> list[Settings]:
        """Settings of each head."""
        return [{"weight_decay": decay} for decay in self.weight_decays]


@dataclass(frozen=True)
class LinearHeads:
    """Linear maps (H, D, K) with biases (H, 1, K) side by side, after one standardization by (D,)."""

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, features: Features) -> Tensor:
        """Probabilities (H, R, K), averaged over views."""
        values_RVD = (features.tensor().to(self.mean) - self.mean) / self.std
        pairs = zip(self.weight, self.bias, strict=True)
        return torch.stack([(values_RVD @ w_DK + b_1K).softmax(2).mean(1) for w_DK, b_1K in pairs])


@torch.no_grad()
def fit(
    train: Features, classes: int, heads: Sequence[Settings], sweep: LBFGSSweep, device: torch.device
) -> LinearHeads:
    """The head of each weight decay, started from the previous one; each view is a sample.

    The search runs along the principal axes of the samples, of which there are at most M, and a constant axis of the
    bias. Each weight is scaled by the loss's curvature where the search starts, taken as the product of the axis's
    variance and the mean of p (1 - p) of the class. The minimum is the same, with a fraction of the iterations.
    """
    values_RVD, label_R = train.tensor().to(device), train.labels().to(device)
    samples_MD, label_M = values_RVD.flatten(0, 1), label_R.repeat_interleave(values_RVD.shape[1])
    mean_D, std_D = samples_MD.mean(0), samples_MD.std(0, correction=0).clamp_min(1e-6)
    samples_MD = (samples_MD - mean_D) / std_D
    variance_P, axes_DP = principal_axes(samples_MD)
    along_MP = torch.cat((samples_MD @ axes_DP, torch.ones_like(samples_MD[:, :1])), 1)
    variance_P1 = torch.cat((variance_P, variance_P.new_ones(1))).unsqueeze(1)
    target_MK = one_hot(label_M, classes).to(samples_MD)
    weight_PK = along_MP.new_zeros(along_MP.shape[1], classes)
    weights, biases = [], []
    for settings in heads:
        decay_P1 = torch.full_like(variance_P1, settings["weight_decay"])
        decay_P1[-1] = 0
        weight_PK = _minimum(along_MP, target_MK, variance_P1, decay_P1, weight_PK)
        weights.append(axes_DP @ weight_PK[:-1])
        biases.append(weight_PK[-1:])
    return LinearHeads(mean_D, std_D, torch.stack(weights), torch.stack(biases))


def principal_axes(samples_MD: Tensor) -> tuple[Tensor, Tensor]:
    """Variance (P,) along each principal axis of centered samples, and the axes (D, P) of nonzero variance."""
    covariance_DD = (samples_MD.T @ samples_MD / len(samples_MD)).double()
    variance_D, axes_DD = torch.linalg.eigh(covariance_DD)
    nonzero = variance_D > 1e-7 * variance_D[-1].clamp_min(1e-7)
    return variance_D[nonzero].to(samples_MD), axes_DD[:, nonzero].to(samples_MD)


def _minimum(x_MP: Tensor, target_MK: Tensor, variance_P1: Tensor, decay_P1: Tensor, start_PK: Tensor) -> Tensor:
    """Weights of the smallest loss, from an initial guess, up to steps that change it by less than 1e-7 of itself."""

    def loss(logits_MK: Tensor, weight_PK: Tensor) -> Tensor:
        return cross_entropy(logits_MK, target_MK) + (decay_P1 * weight_PK * weight_PK).sum() / 2

    def scale_and_loss(logits_MK: Tensor) -> tuple[Tensor, float]:
        probability_MK = logits_MK.softmax(1)
        curvature_K = (probability_MK * (1 - probability_MK)).mean(0).clamp_min(1e-3 / logits_MK.shape[1])
        return (variance_P1 * curvature_K + decay_P1).rsqrt(), float(loss(logits_MK, start_PK))

    scale_PK, first_loss = scale_and_loss(x_MP @ start_PK)
    scaled_PK = (start_PK / scale_PK).requires_grad_()
    stop = {"max_iter": 200, "tolerance_grad": 0.0, "tolerance_change": 1e-7 * first_loss}
    optimizer = torch.optim.LBFGS([scaled_PK], line_search_fn="strong_wolfe", **stop)  # type: ignore[arg-type]

    def closure() -> Tensor:
        with torch.no_grad():
            weight_PK = scaled_PK * scale_PK
            logits_MK = x_MP @ weight_PK
            error_MK = (logits_MK.softmax(1) - target_MK) / len(x_MP)
            scaled_PK.grad = (x_MP.T @ error_MK + decay_P1 * weight_PK) * scale_PK
            return loss(logits_MK, weight_PK)

    optimizer.step(closure)
    return scaled_PK.detach() * scale_PK
