"""``metrics.csv`` in the run folder: every logged metric, readable without TensorBoard."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.run_record import METRICS, read_metrics


class MetricsCSV(Logger):
    """Writes a row for each call of ``log_metrics``; a resumed run appends to the rows of the steps before.

    Lightning's ``CSVLogger`` deletes the file of an earlier process. A full disk leaves a gap.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.file = folder / METRICS
        self._columns: list[str] = []
        self._failed = False

    @property
    def name(self) -> None:
        """None: the file lies in the folder itself."""

    @property
    def version(self) -> None:
        """None: a run has one file."""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: they are in ``recipe.yaml``."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append a row; a metric that is new becomes a column."""
        row = {"step": step or 0, **{name: f"{float(value):.7g}" for name, value in metrics.items()}}
        try:
            self._write(row)
        except OSError as error:
            if not self._failed:
                rank_zero_warn(f"{self.file} has a gap: {error.strerror or error}")
            self._failed = True

    def _write(self, row: dict[str, Any]) -> None:
        if set(row) <= set(self._columns):
            with self.file.open("a", newline="") as out:
                csv.DictWriter(out, self._columns).writerow(row)
            return
        before = read_metrics(self.file.parent)
        if not self._columns:  # a resumed run: rows of steps that are made again are left out
            before = [old for old in before if int(old["step"]) < row["step"]]
        columns = list(dict.fromkeys(name for found in (*before, row) for name in found))
        with atomic_write(self.file) as partial, partial.open("w", newline="") as out:
            writer = csv.DictWriter(out, columns)
            writer.writeheader()
            writer.writerows([*before, row])
        self._columns = columns
