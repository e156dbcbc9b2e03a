"""Accuracy of a classifier, in percent: counted by torchmetrics, with a confidence interval.

Shapes: N videos, K classes.
"""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


def accuracy_metrics(num_classes: int) -> "MetricCollection":
    """The metrics from which `ClassificationMetrics` are computed; several processes add up their counts.

    "confusion" is the (K, K) matrix of counts, true class (row) by predicted class (column); "top5", in [0, 1], is left
    out if there are at most five classes.
    """
    from torchmetrics import MetricCollection  # here, because encoders are loaded without it
    from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

    metrics: dict[str, Any] = {"confusion": MulticlassConfusionMatrix(num_classes, validate_args=False)}
    if num_classes > 5:
        metrics["top5"] = MulticlassAccuracy(num_classes, top_k=5, average="micro", validate_args=False)
    return MetricCollection(metrics)


@dataclass(frozen=True)
class ClassificationMetrics:
    """Accuracies in percent.

    Args:
        top1: of videos whose class has the highest probability.
        top1_low: lower bound of its 95 % confidence interval (Wilson).
        top1_high: upper bound.
        top5: of videos whose class is among the five most probable; None if there are at most five classes.
        mean_class: mean over the classes that occur of their top-1 accuracy.
        videos: number of videos.
    """

    top1: float
    top1_low: float
    top1_high: float
    top5: float | None
    mean_class: float
    videos: int

    @classmethod
    def of(cls, values_NK: Tensor, label_N: Tensor) -> "ClassificationMetrics":
        """Evaluate probabilities or logits; ties are decided for the class of the lowest index."""
        metrics = accuracy_metrics(values_NK.shape[1])
        metrics.update(values_NK, label_N)
        return cls.compute(metrics)

    @classmethod
    def compute(cls, metrics: "MetricCollection") -> "ClassificationMetrics":
        """The values of `accuracy_metrics` after its updates; ``ValueError`` if there were none."""
        values = metrics.compute()
        confusion_KK = values["confusion"].double()
        correct_K, total_K = confusion_KK.diagonal(), confusion_KK.sum(1)
        correct, total = int(correct_K.sum()), int(total_K.sum())
        if total == 0:
            raise ValueError("there is nothing to evaluate: no video has a label")
        occurs_K = total_K > 0
        low, high = wilson(correct, total)
        return cls(
            top1=100 * correct / total,
            top1_low=100 * low,
            top1_high=100 * high,
            top5=100 * values["top5"].item() if "top5" in values else None,
            mean_class=100 * (correct_K[occurs_K] / total_K[occurs_K]).mean().item(),
            videos=total,
        )

    def line(self) -> str:
        """In one line."""
        top5 = "" if self.top5 is None else f"top-5 {self.top5:.1f} %, "
        return (
            f"top-1 {self.top1:.1f} % (95 %: {self.top1_low:.1f} to {self.top1_high:.1f}), {top5}"
            f"mean class {self.mean_class:.1f} %, {self.videos} videos"
        )

    def asdict(self) -> dict[str, float]:
        """Rounded values, without a "top5" that is None, for JSON and logs."""
        return {name: round(value, 4) for name, value in asdict(self).items() if value is not None}


def wilson(correct: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of a fraction (Wilson, JASA 22, 1927), both bounds in [0, 1]."""
    z, fraction = 1.959964, correct / total
    square = z * z
    center = (fraction + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * math.sqrt(fraction * (1 - fraction) / total + square / (4 * total * total))
    return max(0.0, center - half), min(1.0, center + half)


def confusion(values_NK: Tensor, label_N: Tensor) -> Tensor:
    """int64 (K, K): number of videos of each class (row) that were predicted as each class (column)."""
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    return multiclass_confusion_matrix(values_NK, label_N, values_NK.shape[1], validate_args=False)
