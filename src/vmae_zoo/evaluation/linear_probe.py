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

    The search runs along the principal axes of the samples, of which there are at most M, each scaled by an upper bound
    of the loss's curvature (Boehning, "Multinomial logistic regression algorithm", 1992): the minimum is the same, with
    about a tenth of the iterations.
    """
    values_RVD, label_R = train.tensor().to(device), train.labels().to(device)
    samples_MD, label_M = values_RVD.flatten(0, 1), label_R.repeat_interleave(values_RVD.shape[1])
    mean_D, std_D = samples_MD.mean(0), samples_MD.std(0, correction=0).clamp_min(1e-6)
    samples_MD = (samples_MD - mean_D) / std_D
    variance_P, axes_DP = principal_axes(samples_MD)
    along_MP, target_MK = samples_MD @ axes_DP, one_hot(label_M, classes).to(samples_MD)
    weight_PK, bias_1K = along_MP.new_zeros(len(variance_P), classes), along_MP.new_zeros(1, classes)
    weights, biases = [], []
    for settings in heads:
        decay = settings["weight_decay"]
        scale_P1 = (variance_P / 2 + decay).rsqrt()[:, None]
        start = weight_PK / scale_P1, bias_1K
        weight_PK, bias_1K = _minimum(along_MP * scale_P1.T, target_MK, decay * scale_P1**2, *start)
        weight_PK = weight_PK * scale_P1
        weights.append(axes_DP @ weight_PK)
        biases.append(bias_1K)
    return LinearHeads(mean_D, std_D, torch.stack(weights), torch.stack(biases))


def principal_axes(samples_MD: Tensor) -> tuple[Tensor, Tensor]:
    """Variance (P,) along each principal axis of centered samples, and the axes (D, P) of nonzero variance."""
    covariance_DD = (samples_MD.T @ samples_MD / len(samples_MD)).double()
    variance_D, axes_DD = torch.linalg.eigh(covariance_DD)
    nonzero = variance_D > 1e-7 * variance_D[-1].clamp_min(1e-7)
    return variance_D[nonzero].to(samples_MD), axes_DD[:, nonzero].to(samples_MD)


def _minimum(
    x_MP: Tensor, target_MK: Tensor, decay_P1: Tensor, weight_PK: Tensor, bias_1K: Tensor
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the smallest loss, from an initial guess; the gradient is written out."""
    weight, bias = weight_PK.clone().requires_grad_(), bias_1K.clone().requires_grad_()
    stop = {"max_iter": 100, "tolerance_grad": 1e-5, "tolerance_change": 0.0}
    optimizer = torch.optim.LBFGS([weight, bias], line_search_fn="strong_wolfe", **stop)  # type: ignore[arg-type]

    def loss() -> Tensor:
        with torch.no_grad():
            logits_MK, decayed_PK = x_MP @ weight + bias, decay_P1 * weight
            error_MK = (logits_MK.softmax(1) - target_MK) / len(x_MP)
            weight.grad, bias.grad = x_MP.T @ error_MK + decayed_PK, error_MK.sum(0, keepdim=True)
            return cross_entropy(logits_MK, target_MK) + (decayed_PK * weight).sum() / 2

    optimizer.step(loss)
    return weight.detach(), bias.detach()
