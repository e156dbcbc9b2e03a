"""Linear probe: how much of the classes a linear map finds in frozen features.

The default protocol is cheap and exact: features of fixed views are computed once, and all heads of the sweep are
trained on them in the same products. Features are brought to mean 0 and deviation 1 of the training set: the batch norm
without parameters that He et al. (MAE, CVPR 2022, arXiv 2111.06377) put before their head.

Shapes: R videos, V views, M = R x V samples, D = width, H heads, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.probe import Sweep
from vmae_zoo.randomness import hash_text, random_order, sample_key

SWEEP = Sweep(
    learning_rates=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3), weight_decays=(0.0, 1e-4, 1e-3, 1e-2, 1e-1), least_steps=300
)


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
        """Probabilities (H, R, K), averaged over views; a head that diverged gives no class any."""
        values_RVD = (features.tensor().to(self.mean) - self.mean) / self.deviation
        pairs = zip(self.weight, self.bias, strict=True)
        return torch.stack([(values_RVD @ w_DK + b_1K).softmax(2).mean(1) for w_DK, b_1K in pairs]).nan_to_num(0.0)


@torch.no_grad()
def fit(
    train: Features, classes: int, pairs: Sequence[tuple[float, float]], sweep: Sweep, device: torch.device
) -> LinearHeads:
    """Train a head per pair of learning rate and weight decay from zero: SGD, momentum 0.9, the same batches for all.

    The gradient of a linear map under cross-entropy is written out: one product gives it for all heads. Each view is a
    sample.
    """
    values_RVD, label_R = train.tensor().to(device), train.labels().to(device)
    samples_MD, label_M = values_RVD.flatten(0, 1), label_R.repeat_interleave(values_RVD.shape[1])
    mean_D, deviation_D = samples_MD.mean(0), samples_MD.std(0, correction=0).clamp_min(1e-6)
    samples_MD = (samples_MD - mean_D) / deviation_D
    rate_H11, decay_H11 = torch.tensor(pairs, device=device, dtype=torch.float32).T[:, :, None, None]
    weight_HDK = samples_MD.new_zeros(len(pairs), samples_MD.shape[1], classes)
    bias_H1K = samples_MD.new_zeros(len(pairs), 1, classes)
    velocity = [torch.zeros_like(weight_HDK), torch.zeros_like(bias_H1K)]
    for progress, ids in batches(len(samples_MD), sweep, device):
        x_BD, label_B = samples_MD[ids], label_M[ids]
        error_HBK = (x_BD @ weight_HDK + bias_H1K).softmax(2)
        error_HBK[:, torch.arange(len(label_B), device=device), label_B] -= 1
        weight_gradient = x_BD.T @ error_HBK / len(x_BD) + decay_H11 * weight_HDK
        rate = rate_H11 * 0.5 * (1 + math.cos(math.pi * progress))
        weight_HDK -= rate * velocity[0].mul_(0.9).add_(weight_gradient)
        bias_H1K -= rate * velocity[1].mul_(0.9).add_(error_HBK.mean(1, keepdim=True))
    return LinearHeads(mean_D, deviation_D, weight_HDK, bias_H1K)


def batches(samples: int, sweep: Sweep, device: torch.device):
    """Share of the training that is done, and the samples of each step, in a new order every epoch."""
    per_epoch, steps = sweep.steps(samples)
    size = min(sweep.batch_size, samples)
    order_M = torch.arange(samples, device=device)
    for step in range(steps):
        epoch, place = divmod(step, per_epoch)
        if place == 0 and size < samples:
            key = torch.tensor([sample_key(sweep.seed, epoch, hash_text("order of a probe"))], device=device)
            order_M = random_order(key, samples, "order")[0]
        yield step / steps, order_M[place * size : (place + 1) * size]
