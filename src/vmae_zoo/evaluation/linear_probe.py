"""Linear probe: how much of the classes a linear map finds in frozen features.

The default protocol is cheap and exact: features of fixed views are computed once, and the head of every weight decay
is the minimum of its convex loss, found by L-BFGS, as CLIP is probed (Radford et al., ICML 2021, arXiv 2103.00020). At
the minimum there is no learning rate, batch or number of epochs left to choose. Features are brought to mean 0 and
deviation 1 of the training set: the batch norm without parameters that He et al. (MAE, CVPR 2022, arXiv 2111.06377) put
before their head.

Shapes: R videos, V views, M = R x V samples, D = width, P principal axes, H heads, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.probe import Settings

DECAYS = (10, 3, 1, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)  # strong ones first


@dataclass(frozen=True)
class LBFGSSweep:
    """Heads that are minima: one for each weight decay.

    Args:
        weight_decays: factors on half the weights' squared norm, above 0, beside the mean cross-entropy.
        held_back: share of the training set that chooses.
        seed: of what is held back.
        tolerance: a head is done where no component of its gradient is larger.
        iterations: of L-BFGS, at most.
    """

    weight_decays: Sequence[float] = DECAYS
    held_back: float = 0.2
    seed: int = 0
    tolerance: float = 1e-5
    iterations: int = 100

    @property
    def heads(self) -> list[Settings]:
        """What each head is trained with."""
        return [{"weight_decay": decay} for decay in self.weight_decays]


@dataclass(frozen=True)
class LinearHeads:
    """Linear maps side by side, behind one normalisation.

    Args:
        mean: (D,) of the training samples.
        deviation: (D,) of the training samples.
        weight: (H, D, K).
        bias: (H, 1, K).
    """

    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, features: Features) -> Tensor:
        """Probabilities (H, R, K), averaged over views."""
        values_RVD = (features.tensor().to(self.mean) - self.mean) / self.deviation
        pairs = zip(self.weight, self.bias, strict=True)
        return torch.stack([(values_RVD @ w_DK + b_1K).softmax(2).mean(1) for w_DK, b_1K in pairs])


@torch.no_grad()
def fit(
    train: Features, classes: int, heads: Sequence[Settings], sweep: LBFGSSweep, device: torch.device
) -> LinearHeads:
    """The head of each weight decay, each started from the one before; each view is a sample.

    The search runs along the samples' principal axes, of which there are no more than samples, each scaled by the
    curvature that the loss has at most (Boehning, "Multinomial logistic regression algorithm", 1992): the minimum is
    the same, and ten times nearer.
    """
    values_RVD, label_R = train.tensor().to(device), train.labels().to(device)
    samples_MD, label_M = values_RVD.flatten(0, 1), label_R.repeat_interleave(values_RVD.shape[1])
    mean_D, deviation_D = samples_MD.mean(0), samples_MD.std(0, correction=0).clamp_min(1e-6)
    samples_MD = (samples_MD - mean_D) / deviation_D
    spread_P, axes_DP = principal_axes(samples_MD)
    along_MP, target_MK = samples_MD @ axes_DP, one_hot(label_M, classes).to(samples_MD)
    weight_PK, bias_1K = along_MP.new_zeros(len(spread_P), classes), along_MP.new_zeros(1, classes)
    weights, biases = [], []
    for settings in heads:
        decay = settings["weight_decay"]
        scale_P1 = (spread_P / 2 + decay).rsqrt()[:, None]
        weight_PK, bias_1K = _minimum(
            along_MP * scale_P1.T, target_MK, decay * scale_P1**2, weight_PK / scale_P1, bias_1K, sweep
        )
        weight_PK = weight_PK * scale_P1
        weights.append(axes_DP @ weight_PK)
        biases.append(bias_1K)
    return LinearHeads(mean_D, deviation_D, torch.stack(weights), torch.stack(biases))


def principal_axes(samples_MD: Tensor) -> tuple[Tensor, Tensor]:
    """Mean square along each principal axis (P,) and the axes (D, P), without those along which nothing lies."""
    square_DD = (samples_MD.T @ samples_MD / len(samples_MD)).double()
    spread_D, axes_DD = torch.linalg.eigh(square_DD)
    there = spread_D > 1e-7 * spread_D[-1].clamp_min(1e-7)
    return spread_D[there].to(samples_MD), axes_DD[:, there].to(samples_MD)


def _minimum(
    x_MP: Tensor, target_MK: Tensor, decay_P1: Tensor, weight_PK: Tensor, bias_1K: Tensor, sweep: LBFGSSweep
) -> tuple[Tensor, Tensor]:
    """The weight and bias of least loss, from those given on; the gradient is written out."""
    weight, bias = weight_PK.clone().requires_grad_(), bias_1K.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [weight, bias],
        max_iter=sweep.iterations,
        tolerance_grad=sweep.tolerance,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        with torch.no_grad():
            logits_MK, decayed_PK = x_MP @ weight + bias, decay_P1 * weight
            error_MK = (logits_MK.softmax(1) - target_MK) / len(x_MP)
            weight.grad, bias.grad = x_MP.T @ error_MK + decayed_PK, error_MK.sum(0, keepdim=True)
            return cross_entropy(logits_MK, target_MK) + (decayed_PK * weight).sum() / 2

    search.step(loss)
    return weight.detach(), bias.detach()
