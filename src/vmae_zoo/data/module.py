"""The data module: from a folder of videos to batches of uint8 clips."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning import LightningDataModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch.utils.data import DataLoader, Sampler

from vmae_zoo.data.bad_samples import BadSamples
from vmae_zoo.data.checks import check_settings
from vmae_zoo.data.dataset import ClipDataset, collate
from vmae_zoo.data.global_batch import settle_batch
from vmae_zoo.data.loader import make_loader
from vmae_zoo.data.resume import epoch_of, go_on, place_of
from vmae_zoo.data.sampler import EvenBatchSampler, PlacedBatchSampler
from vmae_zoo.data.sampling import FPS
from vmae_zoo.data.storage_retry import Patient, read_again
from vmae_zoo.data.views import ViewDataset, collate_views
from vmae_zoo.datasets.epoch_sampling import Draw
from vmae_zoo.datasets.layouts import Catalog, Row
from vmae_zoo.data.mixture import Collection
from vmae_zoo.datasets.synthetic.demo import demo_root
from vmae_zoo.video.decode import ask_first

Collate = Callable[[Any], dict[str, Any]]


class ClipDataModule(LightningDataModule):
    """Clips of videos, batched; knows its place in the epoch.

    Args:
        root: folder of the videos, or a list file; None is the embedded set, made on first use.
        layout: how the root is laid out (hmdb51, ucf101, kinetics, ssv2, csv, list, folder, flat); None detects it.
        split: number of the split where the layout has some (1, 2, 3 in HMDB51 and UCF101); None is the first.
        sources: several data sets at once, each a mapping of root, and any of layout, split, stride_frames, weight and
            name (see `vmae_zoo.datasets.sources`); their roots are relative to ``root``.
        frames: frames of a clip (16 in the papers).
        stride_frames: distance of the frames (4 in the papers, 2 for Something-Something V2).
        size: side of the square clip in pixels (224 in the papers).
        batch_size: clips per process and forward pass, before repeats.
        global_batch: clips of an optimiser step over all processes, before repeats; the accumulation follows from it.
            None: batch_size x processes x the trainer's accumulate_grad_batches.
        repeats: training clips of one decoded video, each with its own crop and mask (4 in VideoMAE V2).
        workers: processes that decode; None: one per core, shared among the processes of this machine.
        seed: of every random choice about the data.
        crop: of training clips: "multi_scale" (VideoMAE), "random_resized" (see ``area``) or "centre".
        scales: shares of the shorter side that the multi-scale crop takes (1, 0.875, 0.75, 0.66 in the papers).
        area: lowest and highest share of the frame that the random resized crop takes (0.08 in MoCo v3, 0.2 in MAE, 0.5
            in space-time MAE).
        flip: mirror every other training clip (not in the official pre-training).
        short_side: larger videos are read with this many pixels on the shorter side; None reads them as they are.
        prefetch: batches that each worker prepares ahead.
        pin_memory: page-locked batches; None: when the trainer has a GPU.
        max_bad_share: share of unreadable videos from which the run stops.
        refuse_corrupt: clips with pixels that the decoder had to make up count as unreadable, and videos in which an
            index found some are left out; otherwise such clips are used, and listed in ``bad_samples.jsonl``.
        sampling: of the frames: "dense" (pre-training), "span" (pre-training by time: as long as frames x
            stride_frames at ``fps``), "window" (fine-tuning on Kinetics, UCF101, HMDB51), "uniform" (frames spread over
            the video: fine-tuning on Something-Something V2) or "sparse" (VideoMAE V2's ``--sparse_sample``).
        fps: rates that stride_frames counts at where sampling is "span" (30 in space-time MAE); of several, each
            training clip draws one.
        rand_augment: operations of RandAugment on a training clip (4 in fine-tuning); 0 for none.
        test_clips: views along time that a test averages over (5 on Kinetics, 2 on Something-Something V2).
        wait_minutes: how long to wait for a folder of videos that cannot be reached, before the run saves and stops.
        test_crops: views along the longer side (3 in the papers).
    """

    trainer: Trainer  # Lightning's annotation allows None, which none of the hooks below meets

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
    ):
        super().__init__()
        counts = {"frames": frames, "stride_frames": stride_frames, "size": size, "batch_size": batch_size}
        counts |= {"repeats": repeats, "prefetch": prefetch, "test_clips": test_clips, "test_crops": test_crops}
        check_settings(counts, crop, sampling, area, fps)
        self.root, self.layout, self.split, self.sources = root, layout, split, sources
        self.frames, self.stride_frames, self.size = frames, stride_frames, size
        self.batch_size, self.global_batch, self.repeats = batch_size, global_batch, repeats
        self.workers, self.prefetch, self.pin_memory = workers, prefetch, pin_memory
        self.seed, self.crop, self.scales, self.flip, self.short_side = seed, crop, tuple(scales), flip, short_side
        self.area = area
        self.max_bad_share, self.refuse_corrupt = max_bad_share, refuse_corrupt
        self.sampling, self.rand_augment = sampling, rand_augment
        self.test_clips, self.test_crops = test_clips, test_crops
        self.wait_minutes, self.fps = wait_minutes, tuple(fps)
        self.accumulation = 1
        self.bad_samples = BadSamples(max_bad_share, None)
        self._wanted_batch = global_batch
        self._sampler: PlacedBatchSampler | None = None
        self._place: dict[str, Any] | None = None
        self._read: dict[str, tuple[Patient, Collate]] = {}  # what each stage's batches are of

    @cached_property
    def collection(self) -> Collection:
        """All clips, of every split, and what indexes know of them."""
        root = self.root or ("." if self.sources else demo_root())
        return Collection(root, self.layout, self.split, self.sources, self.stride_frames, self.refuse_corrupt)

    @property
    def catalog(self) -> Catalog:
        """All clips, of every split, without those that an index (`vmae-zoo index`) found damaged."""
        return self.collection.catalog

    @property
    def rows(self) -> list[Row]:
        """The training clips; a batch's "index" counts in them."""
        return self.collection.rows

    @property
    def validation_rows(self) -> list[Row]:
        """The validation clips: those of the test split where there are no others."""
        return self.collection.validation_rows

    @property
    def test_rows(self) -> list[Row]:
        """The test clips: the validation clips where there are no others."""
        return self.collection.test_rows

    @property
    def classes(self) -> list[str]:
        """Names of the classes; empty where nothing is labelled."""
        return self.catalog.classes

    @cached_property
    def draw(self) -> Draw:
        """The training clips of each epoch."""
        return self.collection.draw(self.seed)

    @property
    def clip_ids(self) -> list[str]:
        """Ids of the training clips."""
        return [row.id for row in self.rows]

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch; known once the trainer is."""
        assert self.global_batch is not None
        return len(self.draw) // self.global_batch

    def prepare_data(self) -> None:
        """Make the embedded clips, once per machine."""
        if self.root is None and not self.sources:
            demo_root()

    def setup(self, stage: str) -> None:
        """Find the clips and settle the global batch; ``ValueError`` for what training would only find later."""
        ask_first(self.collection.indexes.recall)
        rank_zero_info(self.collection.describe())
        if stage != "fit":
            return
        self.collection.check()
        self.accumulation, self.global_batch = settle_batch(
            self.trainer, self._wanted_batch, self.batch_size, len(self.draw)
        )
        self.bad_samples = BadSamples(self.max_bad_share, len(self.rows))
        if not self.validation_rows:
            self.trainer.limit_val_batches = 0
        self.trainer._accelerator_connector.use_distributed_sampler = False  # the samplers here know their process

    def train_dataloader(self) -> DataLoader:
        """Random clips, from the place in the epoch on."""
        trainer = self.trainer
        self._sampler = PlacedBatchSampler(
            self.draw, self.batch_size, self.accumulation, trainer.global_rank, trainer.world_size, self.seed
        )
        if self._place is None:
            self._sampler.place(epoch_of(trainer))
        else:
            go_on(trainer, self._sampler, self._place)
            self._place = None
        if self.catalog.missing and trainer.is_global_zero:
            _list_missing(Path(trainer.default_root_dir) / "missing_videos.txt", self.catalog.missing)
        return self._loader("train", self.dataset(self.rows, train=True), self._sampler)

    def val_dataloader(self) -> DataLoader | list:
        """The middle clip of every validation video; nothing where there are none."""
        return self._even_loader(self.validation_rows)

    def test_dataloader(self) -> DataLoader | list:
        """All views of every test video, or of the validation ones."""
        return self._view_loader(self.test_rows)

    def predict_dataloader(self) -> DataLoader | list:
        """All views of every video, of whatever split."""
        return self._view_loader(self.catalog.rows)

    def dataset(self, rows: Sequence[Row], train: bool) -> ClipDataset:
        """The clips of some rows as this module reads them, with what the trainer's method asks for."""
        method = getattr(self.trainer, "lightning_module", None)
        return ClipDataset(
            rows,
            train=train,
            repeats=self.repeats,
            crop=self.crop,
            scales=self.scales,
            flip=self.flip,
            short_side=self.short_side,
            extras=getattr(method, "clip_extras", None),
            views=getattr(method, "views", 1),
            same_clip=getattr(method, "same_clip", False),
            area=self.area,
            rand_augment=self.rand_augment,
            **self._frames,
        )

    @property
    def _frames(self) -> dict[str, Any]:
        """What training and tests have in common: which frames, how large, from which seed."""
        frames: dict[str, Any] = {"frames": self.frames, "stride_frames": self.stride_frames, "size": self.size}
        files = {"fps": self.fps, "refuse_corrupt": self.refuse_corrupt, "anchors": self.collection.anchors}
        return {**frames, **files, "sampling": self.sampling, "seed": self.seed}

    def _view_loader(self, rows: Sequence[Row]) -> DataLoader | list:
        """A method that keeps results says which of the rows have none yet."""
        untested = getattr(self.trainer.lightning_module, "untested", None)
        rows = untested(rows) if untested else rows
        if not rows:
            return []
        views = self.test_clips * self.test_crops
        dataset = ViewDataset(rows, clips=self.test_clips, crops=self.test_crops, **self._frames)
        videos = max(self.batch_size // views, 1)
        sampler = EvenBatchSampler(len(rows), videos, self.trainer.global_rank, self.trainer.world_size)
        return self._loader("views", dataset, sampler, collate_views)

    def _even_loader(self, rows: Sequence[Row]) -> DataLoader | list:
        if not rows:
            return []
        trainer = self.trainer
        sampler = EvenBatchSampler(len(rows), self.batch_size, trainer.global_rank, trainer.world_size)
        return self._loader("clips", self.dataset(rows, train=False), sampler)

    def _loader(self, of: str, dataset: Patient, sampler: Sampler, collate: Collate = collate) -> DataLoader:
        self._read[of] = dataset, collate
        workers, recall = (self.workers, self.prefetch, self.pin_memory), self.collection.indexes.recall
        return make_loader(dataset, sampler, self.trainer, *workers, recall, collate)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Wait for a folder that is gone, and note unreadable videos; ``ValueError`` where it takes too long.

        Before it waits, and before it ends for too many of them, a single training process saves where it is.
        """
        trainer = self.trainer
        if "gone" in batch:
            of = "train" if trainer.training else "views" if trainer.testing or trainer.predicting else "clips"
            batch = self.read_again(batch, *self._read[of])
        bad = batch.pop("bad", [])
        clips = len(batch["key"]) if batch else 0
        videos = -(-clips // self.repeats) if self.trainer.training else clips
        if self.trainer.testing or self.trainer.predicting:  # one unreadable video in a batch of its own ends nothing
            videos = clips // (self.test_clips * self.test_crops) or 1
        try:
            self.bad_samples.note(bad, videos, Path(trainer.default_root_dir) / "bad_samples.jsonl")
        except ValueError:
            _ask(trainer, "save_last")
            raise
        return batch

    def read_again(self, missed: dict[str, Any], dataset: Patient, collate: Collate) -> dict[str, Any]:
        """A batch whose folder was gone, once it is back; saves before it waits. See `vmae_zoo.data.storage_retry`."""
        _ask(self.trainer, "save_last")
        return read_again(missed, dataset, collate, self.wait_minutes, lambda: _ask(self.trainer, "heed"))

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch, and the fingerprint of the index."""
        if self._sampler is None:
            return {}
        place: dict[str, Any] = dict(place_of(self.trainer, self._sampler))
        fingerprint = self.collection.indexes.fingerprint
        return place if fingerprint is None else {**place, "index": fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a place when training starts."""
        self._place = state_dict
        before, now = state_dict.get("index"), self.collection.indexes.fingerprint
        if before and before != now:
            rank_zero_warn(f"the videos changed: the checkpoint was made with index {before}, this run has {now}")


def _ask(trainer: Trainer, what: str) -> None:
    """Ask the callbacks that can to do something between two steps; several processes would wait for each other."""
    if trainer.world_size == 1 and trainer.state.fn == "fit":
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if hasattr(callback, what):
                getattr(callback, what)(trainer)


def _list_missing(file: Path, names: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", errors="surrogateescape")
    rank_zero_info(f"videos that are listed and not there: all {len(names)} are named in {file}")
