"""Class probabilities of videos, averaged over their views, and the table they are written to.

Probabilities are averaged, not logits: so are the published numbers. Shapes: B views of a batch, K classes.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.training.metrics import ClassificationMetrics


class VideoPredictions:
    """Predictions of this process, by the index of the video in its loader's records."""

    def __init__(self) -> None:
        self.probabilities: dict[int, Tensor] = {}
        self.labels: dict[int, int] = {}

    def add(self, batch: dict[str, Any], probability_BK: Tensor) -> None:
        """Add a batch; all views of a video come in one."""
        index_B = batch["index"]
        for index in index_B.unique().tolist():
            views_B = index_B == index
            self.probabilities[index] = probability_BK[views_B].double().mean(0).cpu()
            self.labels[index] = int(batch["label"][views_B][0]) if "label" in batch else -1

    def gather(self) -> "VideoPredictions":
        """The predictions of all processes, in the order of the records."""
        everyone: list[Any] = [(self.probabilities, self.labels)]
        if distributed.is_available() and distributed.is_initialized():
            everyone = [None] * distributed.get_world_size()
            distributed.all_gather_object(everyone, (self.probabilities, self.labels))
        merged = VideoPredictions()
        for probabilities, labels in everyone:
            merged.probabilities |= probabilities
            merged.labels |= labels
        merged.probabilities = dict(sorted(merged.probabilities.items()))
        return merged

    def metrics(self) -> ClassificationMetrics | None:
        """Accuracies over the videos whose class is known; None if none is."""
        known = [index for index in self.probabilities if self.labels[index] >= 0]
        if not known:
            return None
        values_NK = torch.stack([self.probabilities[index] for index in known])
        return ClassificationMetrics.of(values_NK, torch.tensor([self.labels[index] for index in known]))

    def write_csv(self, file: Path, records: Sequence[ClipRecord], classes: Sequence[str], truth: bool) -> None:
        """Write a line per video: path, most probable class, its probability and, if wanted, the true class.

        Args:
            file: what to write.
            records: those of the loader; without them a video is named by its index.
            classes: names; without them classes are written as numbers.
            truth: add the column of true classes.
        """

        def name(label: int) -> str:
            return "" if label < 0 else classes[label] if classes else str(label)

        with file.open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["path", "label", "probability", *["truth"] * truth])
            for index, probability_K in self.probabilities.items():
                best = int(probability_K.argmax())
                path = records[index].path if records else index
                true = [name(self.labels[index])] * truth
                writer.writerow([path, name(best), f"{probability_K[best]:.6f}", *true])
