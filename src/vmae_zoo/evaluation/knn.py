"""Weighted k-nearest-neighbor classification of frozen features: no training.

Cosine similarity; each of the k nearest training videos votes for its class with the weight exp(similarity / T), as in
Wu, Xiong, Yu, Lin, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, arXiv
1805.01978. The feature of a video is the mean over its views. k is selected by leave-one-out accuracy on the training
set.

Shapes: R training videos, Q queries, D = width, K classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vmae_zoo.evaluation.features import Features
from vmae_zoo.training.metrics import ClassificationMetrics, confusion

NEIGHBORS = (1, 5, 10, 20, 50, 100, 200)
TEMPERATURE = 0.07
BLOCK_VALUES = 1 << 25  # similarities at a time: 128 MB


@dataclass(frozen=True)
class KNNResult:
    """Accuracy of k-NN.

    Args:
        metrics: on the test set, by k.
        selected: the k with the best leave-one-out accuracy.
        leave_one_out: top-1 in percent on the training set without each video itself, by k.
        probabilities: (Q, K), fractions of the votes for the selected k.
        confusion: (K, K) counts, true class (row) against predicted class (column).
    """

    metrics: dict[int, ClassificationMetrics]
    selected: int
    leave_one_out: dict[int, float]
    probabilities: Tensor = field(repr=False)
    confusion: Tensor = field(repr=False)


def nearest_neighbors(
    train: Features,
    test: Features,
    classes: int,
    neighbors: Sequence[int] = NEIGHBORS,
    temperature: float = TEMPERATURE,
    device: str | torch.device = "cpu",
) -> KNNResult:
    """Classify the test videos by the training videos; numbers of neighbors above their number mean all of them."""
    bank_RD, label_R = video_features(train).to(device), train.labels().to(device)
    most = len(bank_RD) - 1
    if most < 1:
        raise ValueError(f"k-NN needs at least two training videos, got {len(bank_RD)}")
    tried = sorted({min(k, most) for k in neighbors})
    correct, first = dict.fromkeys(tried, 0), 0
    for block in votes(bank_RD, label_R, bank_RD, classes, tried, temperature, leave_one_out=True):
        for k, vote_QK in block.items():
            correct[k] += int((vote_QK.argmax(1) == label_R[first : first + len(vote_QK)]).sum())
        first += len(vote_QK)
    accuracy = {k: 100 * count / len(bank_RD) for k, count in correct.items()}
    selected = max(tried, key=lambda k: (accuracy[k], -k))
    blocks = list(votes(bank_RD, label_R, video_features(test).to(device), classes, tried, temperature))
    values = {k: torch.cat([block[k].cpu() for block in blocks]) for k in tried}
    metrics = {k: ClassificationMetrics.of(vote, test.labels()) for k, vote in values.items()}
    return KNNResult(metrics, selected, accuracy, values[selected], confusion(values[selected], test.labels()))


def video_features(features: Features) -> Tensor:
    """The mean over views, of length 1: float32 (R, D)."""
    return normalize(features.tensor().mean(1), dim=1)


def votes(
    bank_RD: Tensor,
    label_R: Tensor,
    query_QD: Tensor,
    classes: int,
    neighbors: Sequence[int],
    temperature: float = TEMPERATURE,
    leave_one_out: bool = False,
) -> Iterator[dict[int, Tensor]]:
    """Fractions of the votes, float (Q', K), for each of ascending k, of consecutive blocks of the queries.

    Features have length 1. With ``leave_one_out``, query i is bank entry i and does not vote for itself.
    """
    size = max(BLOCK_VALUES // len(bank_RD), 1)
    for start in range(0, len(query_QD), size):
        similarity_QR = query_QD[start : start + size] @ bank_RD.T
        if leave_one_out:
            rows = torch.arange(len(similarity_QR), device=similarity_QR.device)
            similarity_QR[rows, start + rows] = -torch.inf
        near, ids = similarity_QR.topk(max(neighbors), dim=1)
        weight = ((near - near[:, :1]) / temperature).exp()
        count_QK, block, counted = weight.new_zeros(len(weight), classes), {}, 0
        for k in neighbors:
            count_QK.scatter_add_(1, label_R[ids[:, counted:k]], weight[:, counted:k])
            block[k], counted = count_QK / count_QK.sum(1, keepdim=True), k
        yield block
