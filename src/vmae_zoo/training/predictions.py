"""Class probabilities of videos, averaged over their views, and the files to which they are written.

Probabilities are averaged, not logits, as in the published numbers. Shapes: B views of a batch, K classes.
"""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, distributed

from vmae_zoo.data.interfaces import data_of
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.lightning_internals import is_trial_run
from vmae_zoo.training.metrics import ClassificationMetrics

FORMULA = tuple("=+-@\t\r")  # first characters by which spreadsheets recognize a formula


class VideoPredictions:
    """Predictions of this process, by the index of the video in its loader's records."""

    def __init__(self) -> None:
        self.probabilities: dict[int, Tensor] = {}
        self.labels: dict[int, int] = {}

    def add(self, batch: dict[str, Any], probability_BK: Tensor) -> None:
        """Add a batch that holds all views of its videos."""
        index_B = batch["index"]
        for index in index_B.unique().tolist():
            views_B = index_B == index
            self.probabilities[index] = probability_BK[views_B].double().mean(0).float().cpu()
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

    def metrics(self) -> ClassificationMetrics:
        """Accuracies over the videos whose class is known; ``ValueError`` if there are none."""
        known = [index for index in self.probabilities if self.labels[index] >= 0]
        if not known:
            raise ValueError("no test video has a label: use `lightning predict`, which needs none")
        values_NK = torch.stack([self.probabilities[index] for index in known])
        return ClassificationMetrics.of(values_NK, torch.tensor([self.labels[index] for index in known]))

    def write_csv(self, file: Path, records: Sequence[ClipRecord], classes: Sequence[str], truth: bool) -> None:
        """Write a line per video: path, most probable class, its probability and, if wanted, the true class.

        A video without a record is named by its index, a class without a name by its number.
        """

        def name(label: int) -> str:
            return "" if label < 0 else classes[label] if classes else str(label)

        with file.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(["path", "label", "probability", *["truth"] * truth])
            for index, probability_K in self.probabilities.items():
                best = int(probability_K.argmax())
                path = records[index].path if records else index
                true = [name(self.labels[index])] if truth else []  # without truth, the data may have other classes
                texts = [cell(str(text)) for text in (path, name(best), *true)]
                writer.writerow([*texts[:2], f"{probability_K[best]:.6f}", *texts[2:]])


def cell(text: str) -> str:
    """A text as a cell of a CSV file that no spreadsheet takes for a formula: one that could be gets an apostrophe."""
    text = text.encode(errors="surrogateescape").decode(errors="backslashreplace")  # names of files may be any bytes
    return f"'{text}" if text[:1] in FORMULA else text


class PredictionWriter(Callback):
    """Collects what ``test_step`` and ``predict_step`` return, probabilities (B, K), and writes it to the run folder.

    A test logs `ClassificationMetrics` and writes ``test.csv`` and ``test.json``; a prediction writes
    ``predictions.csv``. A trial run (``fast_dev_run``) writes nothing.

    ``classes`` returns the names of the classes, see `VideoPredictions.write_csv`.
    """

    def __init__(self, classes: Callable[[], Sequence[str]]):
        self.classes = classes
        self.predictions = VideoPredictions()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Discard earlier predictions."""
        self.predictions = VideoPredictions()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch; there are no probabilities if none of its videos could be read."""
        if outputs is not None:
            self.predictions.add(batch, outputs)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log accuracies; write ``test.csv`` and ``test.json``."""
        found = self.predictions.gather()
        metrics = found.metrics().asdict()
        pl_module.log_dict({f"{name}/test": value for name, value in metrics.items()})
        folder = self._write(trainer, found, data_of(trainer).test_records, "test.csv", truth=True)
        if folder:
            (folder / "test.json").write_text(json.dumps(metrics, indent=2) + "\n")

    on_predict_epoch_start = on_test_epoch_start
    on_predict_batch_end = on_test_batch_end

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``predictions.csv``."""
        records = data_of(trainer).predict_records
        self._write(trainer, self.predictions.gather(), records, "predictions.csv", truth=False)

    def _write(
        self, trainer: Trainer, found: VideoPredictions, records: Sequence[ClipRecord], name: str, truth: bool
    ) -> Path | None:
        """The folder; None in other processes than the first and in a trial run."""
        if not trainer.is_global_zero or is_trial_run(trainer):
            return None
        folder = Path(trainer.default_root_dir)
        found.write_csv(folder / name, records, self.classes(), truth)
        rank_zero_info(f"{len(found.probabilities)} videos: {folder / name}")
        return folder
