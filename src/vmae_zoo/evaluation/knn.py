"""k nearest neighbours on frozen features: no training at all.

Cosine similarity; each of the k nearest training videos votes for its class with the weight exp(similarity / T), as in
Wu, Xiong, Yu, Lin, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, arXiv
1805.01978. A video's feature is the mean over its views. Which k counts is decided on the training set, each of its
videos judged by the others.

Shapes: R training videos, Q queries, D = width, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from vmae_zoo.evaluation.features import Features
from vmae_zoo.training.metrics import ClassificationMetrics, confusion

NEIGHBOURS = (1, 5, 10, 20, 50, 100, 200)
TEMPERATURE = 0.07


@dataclass(frozen=True)
class Neighbours:
    """What k-NN found.

    Args:
        scores: on the test set, by k.
        chosen: the k that is best on the training set.
        left_out: top-1 in percent of the training videos, each judged by the others, by k.
        probabilities: (Q, K), shares of the votes under the chosen k.
        confusion: (K, K), true class (record) against most voted class (column).
    """

    scores: dict[int, ClassificationMetrics]
    chosen: int
    left_out: dict[int, float]
    probabilities: Tensor = field(repr=False)
    confusion: Tensor = field(repr=False)


def nearest_neighbours(
    train: Features,
    test: Features,
    classes: int,
    neighbours: Sequence[int] = NEIGHBOURS,
    temperature: float = TEMPERATURE,
    device: str | torch.device = "cpu",
) -> Neighbours:
    """Classify the test videos by the training videos.

    Args:
        train: features of labelled videos.
        test: the queries.
        classes: K.
        neighbours: numbers k to try; larger ones than there are training videos count as all of them.
        temperature: T.
        device: where similarities are computed.
    """
    bank_RD, label_R = one_per_video(train).to(device), train.labels().to(device)
    most = len(bank_RD) - 1
    if most < 1:
        raise ValueError("k-NN needs at least two training videos")
    tried = sorted({min(k, most) for k in neighbours})
    left_out_votes = votes(bank_RD, label_R, bank_RD, classes, tried, temperature, leave_self_out=True)
    left_out = {k: 100 * (found.argmax(1) == label_R).double().mean().item() for k, found in left_out_votes.items()}
    chosen = max(tried, key=lambda k: (left_out[k], -k))
    found = votes(bank_RD, label_R, one_per_video(test).to(device), classes, tried, temperature)
    values = {k: vote.cpu() for k, vote in found.items()}
    scores = {k: ClassificationMetrics.of(vote, test.labels()) for k, vote in values.items()}
    return Neighbours(scores, chosen, left_out, values[chosen], confusion(values[chosen], test.labels()))


def one_per_video(features: Features) -> Tensor:
    """float32 (R, D), of length 1: the mean over views."""
    return normalize(features.tensor().mean(1), dim=1)


def votes(
    bank_RD: Tensor,
    label_R: Tensor,
    query_QD: Tensor,
    classes: int,
    neighbours: Sequence[int],
    temperature: float = TEMPERATURE,
    leave_self_out: bool = False,
    chunk: int = 1024,
) -> dict[int, Tensor]:
    """Shares of the votes, float (Q, K), for each k.

    Args:
        bank_RD: features of length 1.
        label_R: their classes.
        query_QD: features of length 1.
        classes: K.
        neighbours: numbers k, at most R.
        temperature: T.
        leave_self_out: query i is bank i, and does not vote for itself.
        chunk: queries at a time.
    """
    most = max(neighbours)
    parts: dict[int, list[Tensor]] = {k: [] for k in neighbours}
    for start in range(0, len(query_QD), chunk):
        similarity_QR = query_QD[start : start + chunk] @ bank_RD.T
        if leave_self_out:
            records = torch.arange(len(similarity_QR), device=similarity_QR.device)
            similarity_QR[records, start + records] = -torch.inf
        near, ids = similarity_QR.topk(most, dim=1)
        weight = ((near - near[:, :1]) / temperature).exp()
        vote = one_hot(label_R[ids], classes) * weight[:, :, None]
        for k in neighbours:
            count_QK = vote[:, :k].sum(1)
            parts[k].append(count_QK / count_QK.sum(1, keepdim=True))
    return {k: torch.cat(found) for k, found in parts.items()}
