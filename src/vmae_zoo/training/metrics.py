"""What a classifier's probabilities are worth.

Shapes: N videos, K classes.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassificationMetrics:
    """Accuracies in percent.

    Args:
        top1: share of videos whose class has the highest probability.
        top1_low: lower end of its 95 % interval (Wilson).
        top1_high: upper end.
        top5: share whose class is among the five highest.
        mean_class: top-1 of each class that occurs, averaged over classes.
        videos: how many were scored.
    """

    top1: float
    top1_low: float
    top1_high: float
    top5: float
    mean_class: float
    videos: int

    @classmethod
    def of(cls, values_NK: Tensor, label_N: Tensor) -> "ClassificationMetrics":
        """Score probabilities or logits; ties count as wrong where another class comes as high and earlier."""
        if len(label_N) == 0:
            raise ValueError("there is nothing to score: no video has a label")
        right_N = values_NK.argmax(1) == label_N
        five_N = (values_NK.topk(min(5, values_NK.shape[1]), dim=1).indices == label_N[:, None]).any(1)
        low, high = wilson(int(right_N.sum()), len(right_N))
        by_class = [right_N[label_N == label].double().mean().item() for label in label_N.unique()]
        return cls(
            top1=100 * right_N.double().mean().item(),
            top1_low=100 * low,
            top1_high=100 * high,
            top5=100 * five_N.double().mean().item(),
            mean_class=100 * sum(by_class) / len(by_class),
            videos=len(right_N),
        )

    def line(self) -> str:
        """In one line."""
        return (
            f"top-1 {self.top1:.1f} % (95 %: {self.top1_low:.1f} to {self.top1_high:.1f}), top-5 {self.top5:.1f} %, "
            f"mean class {self.mean_class:.1f} %, {self.videos} videos"
        )

    def asdict(self) -> dict[str, float]:
        """Rounded, for JSON."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def wilson(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson, JASA 22, 1927), both in [0, 1]."""
    share, square = right / total, z * z
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def confusion(values_NK: Tensor, label_N: Tensor) -> Tensor:
    """int64 (K, K): how many videos of each class (row) were taken for each class (column)."""
    classes = values_NK.shape[1]
    return torch.bincount(label_N * classes + values_NK.argmax(1), minlength=classes**2).view(classes, classes)
