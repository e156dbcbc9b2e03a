"""The data module: from a folder of videos to batches of uint8 clips."""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch.utils.data import DataLoader, Sampler

from vmae_zoo.data.bad_samples import BAD_SAMPLES, BadSamples
from vmae_zoo.data.clip_spec import Augmentation, ClipSpec
from vmae_zoo.data.dataset import ClipDataset, collate
from vmae_zoo.data.decoded_videos import DecodedVideos, fits_memory
from vmae_zoo.data.device_copy import DeviceCopy
from vmae_zoo.data.global_batch import resolve_global_batch
from vmae_zoo.data.interfaces import VideoDataModule, request_of, save_now, stop_if_signaled
from vmae_zoo.data.loader import make_loader
from vmae_zoo.data.mixture import DatasetMixture
from vmae_zoo.data.reader import VideoReader
from vmae_zoo.data.resume import get_position, restore_position
from vmae_zoo.data.sampler import ResumableBatchSampler, ShardedEvalSampler
from vmae_zoo.data.sampling import FPS
from vmae_zoo.data.storage_retry import RetryingDataset, retry_batch
from vmae_zoo.data.views import ViewDataset, collate_views
from vmae_zoo.datasets.epoch_sampling import WeightedEpochs
from vmae_zoo.datasets.layouts import Catalog, ClipRecord, ClipTable
from vmae_zoo.datasets.synthetic.embedded import embedded_root, is_embedded
from vmae_zoo.lightning_internals import epochs_processed, keep_own_samplers
from vmae_zoo.setting_checks import check_least

Collate = Callable[[Any], dict[str, Any]]


class ClipDataModule(VideoDataModule):
    """Clips of videos in batches; its state is the position in the epoch.

    Args:
        root: folder of the videos, or a list file; "synthetic:NAME" is an embedded set, created on first use, and None
            is "synthetic:demo".
        layout: how the root is laid out (hmdb51, ucf101, kinetics, ssv2, csv, list, folder, flat); None detects it.
        split: numbered split, if the layout has any (1, 2, 3 in HMDB51 and UCF101); None is the first.
        sources: several data sets at once, each a mapping of root, and any of layout, split, stride_frames, weight and
            name (see `vmae_zoo.datasets.sources`); their roots are relative to ``root``.
        frames: frames of a clip (16 in the papers).
        stride_frames: distance between frames (4 in the papers, 2 for Something-Something V2).
        size: side of the square clip in pixels (224 in the papers).
        batch_size: clips per process and forward pass, before repeats.
        global_batch: clips per optimizer step over all processes, before repeats; determines the gradient
            accumulation. None: batch_size x processes x the trainer's accumulate_grad_batches.
        repeats: training clips of one decoded video, each with its own crop and mask (4 in VideoMAE V2).
        workers: processes that decode; None: one per core, shared among the processes on this machine.
        seed: seed of every random choice about the data.
        crop: of training clips: "multi_scale" (VideoMAE), "random_resized" (see ``area``) or "centre".
        scales: fractions of the shorter side for the multi-scale crop (1, 0.875, 0.75, 0.66 in the papers).
        area: smallest and largest fraction of the frame's area for the random resized crop (0.08 in MoCo v3, 0.2 in
            MAE, 0.5 in space-time MAE).
        flip: mirror every other training clip (not in the official pre-training).
        short_side: decode larger videos with this many pixels on the shorter side; None decodes the native size.
        prefetch: batches that each worker prepares in advance.
        pin_memory: page-locked batches; None: if the trainer uses a GPU.
        max_bad_share: largest fraction of unreadable videos; above it the run stops.
        refuse_corrupt: leave out videos whose frames the decoder concealed in part, by the verdict of an index
            (`vmae-zoo index`); otherwise they are used.
        sampling: how frames are chosen: "dense" (pre-training), "span" (pre-training by time: the duration of frames x
            stride_frames at ``fps``), "window" (fine-tuning on Kinetics, UCF101, HMDB51), "uniform" (frames spread over
            the video: fine-tuning on Something-Something V2) or "sparse" (VideoMAE V2's ``--sparse_sample``).
        fps: rates at which stride_frames counts if sampling is "span" (30 in space-time MAE); of several, each training
            clip takes one, and evaluation takes the first.
        rand_augment: number of RandAugment operations on a training clip (4 in fine-tuning); 0 for none.
        test_clips: views along time that a test averages over (5 on Kinetics, 2 on Something-Something V2).
        wait_minutes: how long to wait for an unavailable folder of videos before the run saves and stops.
        test_crops: views along the longer side (3 in the papers).
        label_column: column of a CSV list with the labels; None is "label".
        val_share: fraction of the clips that validate if there is no validation split, by class and by source (0.2);
            clips cut from one recording, by their ``group`` or the names of official data sets, stay together.
        memory_mb: if every video is small (at most 1 MB decoded) and all of them take at most so many MB, they stay
            decoded in the memory of each process, and workers = None means 0. 0: never.
    """

    clip: ClipSpec
    batch_size: int
    trainer: Trainer  # Lightning's annotation allows None, which never happens in the hooks below

    def __init__(
        self,
        root: str | None = None,
        layout: str | None = None,
        split: int | None = None,
        frames: int = 16,
        stride_frames: int = 4,
        size: int = 224,
        batch_size: int = 8,
        global_batch: int | None = None,
        repeats: int = 1,
        workers: int | None = None,
        seed: int = 0,
        crop: str = "multi_scale",
        scales: Sequence[float] = (1, 0.875, 0.75, 0.66),
        area: tuple[float, float] = (0.08, 1.0),
        flip: bool = False,
        short_side: int | None = None,
        prefetch: int = 2,
        pin_memory: bool | None = None,
        max_bad_share: float = 0.1,
        refuse_corrupt: bool = False,
        sampling: str = "dense",
        rand_augment: int = 0,
        test_clips: int = 1,
        test_crops: int = 1,
        sources: list[dict[str, Any]] | None = None,
        wait_minutes: float = 60.0,
        fps: Sequence[float] = (FPS,),
        label_column: str | None = None,
        memory_mb: int = 0,
        val_share: float = 0.0,
    ):
        super().__init__()
        check_least("data.", 1, batch_size=batch_size, repeats=repeats, prefetch=prefetch)
        check_least("data.", 1, test_clips=test_clips, test_crops=test_crops)
        self.clip = ClipSpec(frames, stride_frames, size, sampling, tuple(fps))
        self.augmentation = Augmentation(crop, tuple(scales), (area[0], area[1]), flip, short_side, rand_augment)
        self.root, self.layout, self.split, self.sources = root, layout, split, sources
        self.label_column, self.memory_mb, self.val_share = label_column, memory_mb, val_share
        self.batch_size, self.global_batch, self.repeats = batch_size, global_batch, repeats
        self.workers, self.prefetch, self.pin_memory = workers, prefetch, pin_memory
        self.seed, self.wait_minutes = seed, wait_minutes
        self.max_bad_share, self.refuse_corrupt = max_bad_share, refuse_corrupt
        self.test_clips, self.test_crops = test_clips, test_crops
        self.accumulation = 1
        self.bad_samples = BadSamples(max_bad_share, None)
        self._wanted_batch = global_batch
        self._sampler: ResumableBatchSampler | None = None
        self._position: dict[str, Any] | None = None
        self._device_copy: DeviceCopy | None = None
        self._loaded: dict[str, tuple[RetryingDataset, Collate]] = {}  # by kind of loader

    @cached_property
    def mixture(self) -> DatasetMixture:
        """All clips, of every split, and the indexes of their files."""
        place, stride_frames = (self.root, self.layout, self.split, self.sources), self.clip.stride_frames
        return DatasetMixture(*place, stride_frames, self.refuse_corrupt, self.label_column, self.val_share)

    @property
    def catalog(self) -> Catalog:
        """All clips, of every split, without videos that an index (`vmae-zoo index`) lists as damaged."""
        return self.mixture.catalog

    @property
    def records(self) -> ClipTable:
        """Training clips; a batch's "index" is the position in this list."""
        return self.mixture.records

    @property
    def validation_records(self) -> ClipTable:
        """Validation clips; those of the test split if there are none."""
        return self.mixture.validation_records

    @property
    def test_records(self) -> ClipTable:
        """Test clips; the validation clips if there are none."""
        return self.mixture.test_records

    @property
    def predict_records(self) -> ClipTable:
        """All clips, of every split."""
        return self.catalog.records

    @property
    def classes(self) -> list[str]:
        """Names of the classes; empty without labels."""
        return self.catalog.classes

    @property
    def required_dirs(self) -> tuple[Path, ...]:
        """Folders without which no clip can be read."""
        return self.mixture.required_dirs

    @cached_property
    def decoded(self) -> DecodedVideos | None:
        """Reads videos once and keeps them; None if each clip is decoded anew."""
        reader, tables = self.mixture.reader, [self.records, self.validation_records]
        small = not self.workers and fits_memory(tables, self.memory_mb, self.clip.size, reader)
        return DecodedVideos(reader.lookup) if small else None

    @property
    def reader(self) -> VideoReader:
        """How videos are read."""
        return self.decoded or self.mixture.reader

    @cached_property
    def epochs(self) -> WeightedEpochs:
        """The training clips of each epoch."""
        return self.mixture.epochs(self.seed)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch; available after ``setup``."""
        assert self.global_batch is not None
        return len(self.epochs) // self.global_batch

    def prepare_data(self) -> None:
        """Create the embedded set, once per machine."""
        if is_embedded(self.root) and not self.sources:
            embedded_root(self.root)

    def setup(self, stage: str) -> None:
        """List the clips, check that videos can be read, and determine the gradient accumulation."""
        if stage in ("fit", "validate") and request_of(self.trainer).labeled:
            self.mixture = self.mixture.labeled()
        rank_zero_info(self.mixture.describe())
        if stage != "fit":
            return
        self.mixture.check()
        if self.refuse_corrupt and not self.mixture.indexes:
            rank_zero_warn("data.refuse_corrupt has no effect: these videos have no index; run `vmae-zoo index` first")
        self.accumulation, self.global_batch = resolve_global_batch(
            self.trainer, self._wanted_batch, self.batch_size, len(self.epochs)
        )
        self.bad_samples = BadSamples(self.max_bad_share, len(self.records))
        if not self.validation_records:
            self.trainer.limit_val_batches = 0
        keep_own_samplers(self.trainer)

    def train_dataloader(self) -> DataLoader:
        """Random clips, from the position in the epoch on."""
        trainer = self.trainer
        self._sampler = ResumableBatchSampler(
            self.epochs, self.batch_size, self.accumulation, trainer.global_rank, trainer.world_size, self.seed
        )
        if self._position is None:
            self._sampler.seek(epochs_processed(trainer))
        else:
            restore_position(trainer, self._sampler, self._position, self.mixture.fingerprint)
            self._position = None
        if self.catalog.missing and trainer.is_global_zero:
            _list_missing(Path(trainer.default_root_dir) / "missing_videos.txt", self.catalog.missing)
        return self._loader("train", self.dataset(self.records, train=True), self._sampler)

    def val_dataloader(self) -> DataLoader | list:
        """The middle clip of every validation video; an empty list if there are none."""
        records = self.validation_records
        return self._loader("clips", self.dataset(records, train=False), self._shards(records)) if records else []

    def test_dataloader(self) -> DataLoader | list:
        """All views of every test video, or of the validation ones."""
        return self._view_loader(self.test_records)

    def predict_dataloader(self) -> DataLoader | list:
        """All views of every video, of every split."""
        return self._view_loader(self.predict_records)

    def dataset(self, records: Sequence[ClipRecord], train: bool) -> ClipDataset:
        """A data set of these records, with what the trainer's method requests."""
        request = request_of(self.trainer)
        return ClipDataset(records, self.clip, self.augmentation, request, train, self.repeats, **self._source)

    def _view_loader(self, records: Sequence[ClipRecord]) -> DataLoader | list:
        if not records:
            return []
        views = ViewDataset(records, self.clip, self.test_clips, self.test_crops, **self._source)
        videos = max(self.batch_size // (self.test_clips * self.test_crops), 1)
        return self._loader("views", views, self._shards(records, videos), collate_views)

    @property
    def _source(self) -> dict[str, Any]:
        return {"seed": self.seed, "required_dirs": self.required_dirs, "reader": self.reader}

    def _shards(self, records: Sequence[ClipRecord], batch_size: int | None = None) -> ShardedEvalSampler:
        trainer = self.trainer
        return ShardedEvalSampler(len(records), batch_size or self.batch_size, trainer.global_rank, trainer.world_size)

    def _loader(self, kind: str, dataset: RetryingDataset, sampler: Sampler, collate: Collate = collate) -> DataLoader:
        self._loaded[kind] = dataset, collate
        workers = self.workers if self.decoded is None else 0
        return make_loader(dataset, sampler, self.trainer, workers, self.prefetch, self.pin_memory, collate)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Wait for an unavailable folder and log unreadable videos; ``ValueError`` after too long or too many.

        A training with a single process saves before it waits and before it stops.
        """
        trainer = self.trainer
        testing = trainer.testing or trainer.predicting
        if "unavailable" in batch:
            kind = "train" if trainer.training else "views" if testing else "clips"
            batch = self.retry_batch(batch, *self._loaded[kind])
        bad = batch.pop("bad", [])
        per_video = self.repeats if trainer.training else self.test_clips * self.test_crops if testing else 1
        videos = -(-len(batch["key"]) // per_video) if batch else 0
        try:  # a test may have a batch of one unreadable video
            self.bad_samples.add(bad, videos or int(testing), Path(trainer.default_root_dir) / BAD_SAMPLES)
        except ValueError:
            save_now(trainer)
            raise
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Copy a batch to the device; to a GPU on a stream of its own, beside the step before."""
        if device.type != "cuda":
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        if self._device_copy is None or self._device_copy.device != device:
            self._device_copy = DeviceCopy(device)
        return self._device_copy(batch)

    def retry_batch(self, missed: dict[str, Any], dataset: RetryingDataset, collate: Collate) -> dict[str, Any]:
        """Read a batch again once its folder is available; save before waiting. See `vmae_zoo.data.storage_retry`."""
        save_now(self.trainer)
        return retry_batch(missed, dataset, collate, self.wait_minutes, partial(stop_if_signaled, self.trainer))

    def teardown(self, stage: str) -> None:
        """Print the unreadable videos."""
        self.bad_samples.report(Path(self.trainer.default_root_dir) / BAD_SAMPLES)

    def on_exception(self, exception: BaseException) -> None:
        """Print the unreadable videos."""
        self.bad_samples.report(Path(self.trainer.default_root_dir) / BAD_SAMPLES)

    def state_dict(self) -> dict[str, Any]:
        """The position in the epoch, and fingerprints of the training clips and of the index."""
        if self._sampler is None:
            return {}
        position = get_position(self.trainer, self._sampler, self.mixture.fingerprint)
        fingerprint = self.mixture.indexes.fingerprint
        return position if fingerprint is None else {**position, "index": fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a position when training starts."""
        self._position = state_dict
        if self.trainer and not self.trainer.training:  # a test or a prediction has other videos
            return
        before, now = state_dict.get("index"), self.mixture.indexes.fingerprint
        if before and before != now:
            rank_zero_warn(f"the videos changed: the checkpoint was made with index {before}, this run has {now}")


def _list_missing(file: Path, names: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", errors="surrogateescape")
    rank_zero_info(f"listed videos that do not exist: all {len(names)} are in {file}")
