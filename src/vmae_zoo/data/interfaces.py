"""What data, methods and a running trainer may ask of each other, declared.

A method declares its `vmae_zoo.data.clip_spec.ClipRequest`; a data module offers `VideoDataModule`; what can save and
stop a run offers `RunControl`. Nothing else crosses.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningDataModule, Trainer

from vmae_zoo.data.clip_spec import ONE_CLIP, ClipConsumer, ClipRequest, ClipSpec
from vmae_zoo.data.storage_retry import RetryingDataset
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.video.decode import IndexLookup


class VideoDataModule(LightningDataModule):
    """Base class of data modules, also of your own: what methods and callbacks read of one.

    Loaders yield dicts: "video" uint8 (B, C, T, H, W) and "key" int64 (B,), a number that identifies the sample in its
    epoch and seeds its mask (`vmae_zoo.randomness.sample_key`); optionally "label" int64 (B,), -1 if unknown, and
    "index" int64 (B,). Every attribute below has a default that means "not known".
    """

    clip: ClipSpec | None = None  # which frames a clip has; kept with the encoder, so that it is evaluated on the same
    repeats: int = 1  # training clips of one decoded video
    global_batch: int | None = None  # clips per optimizer step over all processes; base_lr needs it
    batch_size: int | None = None  # clips per process and forward pass
    workers: int | None = 0  # processes that decode; None: one per core

    @property
    def required_dirs(self) -> Sequence[Path]:
        """Folders without which nothing can be read: their loss is waited for."""
        return ()

    @property
    def index_lookup(self) -> IndexLookup | None:
        """What an index knows of a file."""
        return None

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimizer steps of an epoch: what max_epochs and warmup_epochs need."""
        return None

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of their labels: what a classifier needs."""
        return ()

    @property
    def records(self) -> Sequence[ClipRecord]:
        """Training clips, for the online probe and messages about samples; a batch's "index" counts in them."""
        return ()

    @property
    def validation_records(self) -> Sequence[ClipRecord]:
        """Held-back clips, for the online probe and pictures."""
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
        """The clips of some records as this module reads them, with what the trainer's method asks for."""
        raise NotImplementedError(f"{type(self).__name__} lists records, so it has to read them: define dataset()")

    def retry_batch(
        self, missed: dict[str, Any], dataset: RetryingDataset, collate: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """Read a batch again once its folder is available; ``ValueError`` by default."""
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
    """The trainer's data module; one that knows nothing if it is of another kind or there is none."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    return data if isinstance(data, VideoDataModule) else VideoDataModule()


def request_of(trainer: Trainer) -> ClipRequest:
    """What the trainer's method asks for; plain clips if it is of another kind."""
    method: Any = trainer.lightning_module
    return method.clip_request if isinstance(method, ClipConsumer) else ONE_CLIP


def run_controls(trainer: Trainer) -> list[RunControl]:
    """Callbacks that can save and stop this training, if it is one of a single process: several would deadlock."""
    if trainer.world_size > 1 or trainer.state.fn != "fit":
        return []
    return [callback for callback in trainer.callbacks if isinstance(callback, RunControl)]  # type: ignore[attr-defined]
