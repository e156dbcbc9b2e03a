"""Declared interfaces between data modules, methods and a running trainer.

A method declares its `vmae_zoo.data.clip_spec.ClipRequest`; a data module subclasses `VideoDataModule`; a callback that
can save and stop a run subclasses `RunControl`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningDataModule, Trainer

from vmae_zoo.data.clip_spec import ONE_CLIP, ClipConsumer, ClipRequest, ClipSpec
from vmae_zoo.data.reader import FILES, VideoReader
from vmae_zoo.data.storage_retry import RetryingDataset
from vmae_zoo.datasets.layouts import ClipRecord


class VideoDataModule(LightningDataModule):
    """Base class of data modules, also of your own: the attributes that methods and callbacks read.

    Loaders yield dicts: "video" uint8 (B, C, T, H, W) and "key" int64 (B,), a number that identifies the sample in its
    epoch and seeds its mask (`vmae_zoo.randomness.sample_key`); optionally "label" int64 (B,), -1 if unknown, and
    "index" int64 (B,), the position in ``records``. Every default below means "unknown".
    """

    clip: ClipSpec | None = None  # saved with the encoder, which is evaluated on the same kind of clip
    repeats: int = 1  # training clips per decoded video
    global_batch: int | None = None  # clips per optimizer step over all processes; base_lr needs it
    batch_size: int | None = None  # clips per process and forward pass
    workers: int | None = 0  # processes that decode; None: one per core

    @property
    def required_dirs(self) -> Sequence[Path]:
        """Folders without which no clip can be read; if one is unavailable, the run waits for it."""
        return ()

    @property
    def reader(self) -> VideoReader:
        """How videos are read."""
        return FILES

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimizer steps of an epoch; max_epochs and warmup_epochs need it."""
        return None

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of their labels; a classifier needs it."""
        return ()

    @property
    def records(self) -> Sequence[ClipRecord]:
        """Training clips, for the online probe and messages about samples."""
        return ()

    @property
    def validation_records(self) -> Sequence[ClipRecord]:
        """Validation clips, for the online probe and pictures."""
        return ()

    @property
    def test_records(self) -> Sequence[ClipRecord]:
        """The clips of the test loader, in its order."""
        return ()

    @property
    def predict_records(self) -> Sequence[ClipRecord]:
        """The clips of the predict loader, in its order."""
        return ()

    def dataset(self, records: Sequence[ClipRecord], train: bool) -> RetryingDataset:
        """A data set of these records, as this module reads them, with what the trainer's method requests."""
        raise NotImplementedError(f"{type(self).__name__} has records but no dataset(): define it")

    def retry_batch(
        self, missed: dict[str, Any], dataset: RetryingDataset, collate: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """Read a batch whose folder was unavailable; ``ValueError`` by default."""
        raise ValueError(f"{missed['unavailable']} cannot be reached")


class RunControl(ABC):
    """A callback that can save a running training and stop it between two steps."""

    @abstractmethod
    def save_now(self, trainer: Trainer) -> None:
        """Write the last checkpoint, unless it holds this step already."""

    @abstractmethod
    def stop_if_signaled(self, trainer: Trainer) -> None:
        """If a stop signal is pending, save and exit."""


def data_of(trainer: Trainer) -> VideoDataModule:
    """The trainer's data module; one with defaults if it has none or one of another type."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    return data if isinstance(data, VideoDataModule) else VideoDataModule()


def request_of(trainer: Trainer) -> ClipRequest:
    """The request of the trainer's method; one clip per sample if it declares none."""
    method: Any = trainer.lightning_module
    return method.clip_request if isinstance(method, ClipConsumer) else ONE_CLIP


def save_now(trainer: Trainer) -> None:
    """Save a running training, if it has a single process: several would deadlock."""
    for control in _run_controls(trainer):
        control.save_now(trainer)


def stop_if_signaled(trainer: Trainer) -> None:
    """If a stop signal is pending, save a training of a single process and exit."""
    for control in _run_controls(trainer):
        control.stop_if_signaled(trainer)


def _run_controls(trainer: Trainer) -> list[RunControl]:
    if trainer.world_size > 1 or trainer.state.fn != "fit":
        return []
    return [callback for callback in trainer.callbacks if isinstance(callback, RunControl)]  # type: ignore[attr-defined]
