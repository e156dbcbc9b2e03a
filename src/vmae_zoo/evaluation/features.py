"""Features of videos from a frozen encoder: computed once, kept, mapped.

An encoder is any module with ``preprocessing`` that maps ``video (B, C, T, H, W) -> tokens (B, N, D)``; its
``pool(tokens)`` makes one feature of them, their mean where it has none.

Shapes: R videos, V views of each, N tokens, D = width.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from vmae_zoo.data.clip_spec import Augmentation
from vmae_zoo.data.dataset import ClipDataset
from vmae_zoo.data.loader import SignalSafeLoader, start_worker
from vmae_zoo.data.views import ViewDataset, collate_views
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.evaluation.feature_store import Store, cache_root
from vmae_zoo.models.fingerprint import fingerprint
from vmae_zoo.models.preprocessing import Normalize, Preprocessing

POOLS = ("mean", "cls", "tokens")


@dataclass(frozen=True)
class Views:
    """Which views of a video are encoded.

    Args:
        clips: along time, spread from start to end; one is the middle.
        crops: along the longer side; one is the centre.
        augmented: random clips and crops instead of these, so many per video; 0: none.
        flip: mirror half of the augmented ones.
    """

    clips: int = 1
    crops: int = 1
    augmented: int = 0
    flip: bool = False

    def __post_init__(self):
        if self.clips < 1 or self.crops < 1 or self.augmented < 0:
            raise ValueError(f"clips and crops count from 1 and augmented from 0, got {self}")

    @property
    def count(self) -> int:
        """Views of a video."""
        return self.augmented or self.clips * self.crops

    def dataset(self, records: Sequence[ClipRecord], settings: Preprocessing, epoch: int = 0) -> Dataset:
        """The views of these videos; augmented ones are new in every epoch."""
        if not self.augmented:
            return ViewDataset(records, settings.clip, self.clips, self.crops)
        return AugmentedViews(records, settings, self, epoch)


class AugmentedViews(Dataset):
    """Random views of each video, as `vmae_zoo.data.views.ViewDataset` gives its fixed ones."""

    def __init__(self, records: Sequence[ClipRecord], settings: Preprocessing, views: Views, epoch: int):
        self.clips = ClipDataset(records, settings.clip, Augmentation(flip=views.flip))
        self.count, self.epoch = views.augmented, epoch

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> list[dict[str, Any]]:
        """The views of a video, or one item with "bad" where it cannot be read."""
        items = [self.clips[(index, self.epoch * self.count + view)][0] for view in range(self.count)]
        bad = [entry for item in items for entry in item.get("bad", ()) if entry["replacement"]]
        return [{"bad": [{**bad[0], "index": index}]}] if bad else items


@dataclass(frozen=True)
class Features:
    """What an encoder makes of videos.

    Args:
        records: the videos that could be read.
        values: (R, V, D), or (R, V, N, D) where tokens are kept; arrays of single videos are mapped from disk.
        unreadable: path and reason of the others.
        computed: how many the encoder had to be run for; the rest came from the cache.
    """

    records: list[ClipRecord]
    values: Sequence[np.ndarray]
    unreadable: list[dict[str, Any]]
    computed: int

    def tensor(self) -> Tensor:
        """float32 (R, V, D)."""
        if not self.records:
            raise ValueError("no video of this data can be read")
        return torch.from_numpy(np.stack([np.asarray(value, np.float32) for value in self.values]))

    def part(self, places: Sequence[int]) -> "Features":
        """Those of some of the videos."""
        return replace(self, records=[self.records[p] for p in places], values=[self.values[p] for p in places])

    def labels(self) -> Tensor:
        """int64 (R,)."""
        return torch.tensor([record.label for record in self.records])


def compute_features(
    encoder: nn.Module,
    records: Sequence[ClipRecord],
    views: Views = Views(),
    *,
    pool: str = "mean",
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    workers: int = 0,
    half: bool = False,
    cache: Path | None = None,
    progress: str | None = None,
) -> Features:
    """Encode what the cache does not hold.

    Args:
        encoder: see the module; it is left in eval mode.
        records: the videos.
        views: of each.
        pool: "mean" (``encoder.pool``), "cls" (the class token) or "tokens" (all of them, float16).
        device: where the encoder runs.
        batch_size: views in a forward pass, at least one video's.
        workers: processes that decode.
        half: run the encoder in bfloat16.
        cache: folder of the stores; None: `vmae_zoo.evaluation.feature_store.cache_root`.
        progress: what a progress bar is called; None shows none.

    Raises:
        ValueError: the encoder has no class token to pool, or gives features that are not numbers.
    """
    if pool not in POOLS:
        raise ValueError(f"pool = {pool!r} is not known: choose one of {', '.join(POOLS)}")
    settings: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    store = Store(cache or cache_root(), cache_key(encoder, views, pool, half))
    missing = [record for record in records if record not in store]
    unreadable: list[dict[str, Any]] = []
    if missing:
        run = Run(encoder, pool, device, half)
        loader = SignalSafeLoader(
            views.dataset(missing, settings),  # type: ignore[arg-type]
            batch_size=max(batch_size // views.count, 1),
            num_workers=workers,
            collate_fn=collate_views,
            worker_init_fn=start_worker,
        )
        part = None
        bar = tqdm(total=len(missing), desc=progress, unit="video", disable=None if progress else True)
        for batch in loader:
            bad = [entry for entry in batch.pop("bad", []) if entry["replacement"]]  # the others were read
            unreadable += [{"path": entry["path"], "reason": entry["reason"]} for entry in bad]
            if batch:
                values = run(batch["video"]).unflatten(0, (-1, views.count)).cpu().numpy()
                done = [missing[index] for index in batch["index"][:: views.count].tolist()]
                part = part or store.part(missing, values.shape[1:], values.dtype)
                part.add(done, values)
            bar.update(len(bad) + (len(batch["index"]) // views.count if batch else 0))
        bar.close()
    known = [record for record in records if record in store]
    return Features(known, [store.get(record) for record in known], unreadable, len(missing) - len(unreadable))


def cache_key(encoder: nn.Module, views: Views, pool: str, half: bool) -> dict[str, Any]:
    """What features depend on beside the videos."""
    return {
        "encoder": fingerprint(encoder),
        "preprocessing": asdict(encoder.preprocessing),  # type: ignore[call-overload]
        "views": asdict(views),
        "pool": pool,
        "half": half,
        "format": 1,
    }


class Run:
    """uint8 clips to features: normalise, encode, pool, on a device and without gradients.

    Args:
        encoder: is moved to the device and put into eval mode.
        pool: see `compute_features`.
        device: where to run.
        half: in bfloat16.
    """

    def __init__(self, encoder: nn.Module, pool: str, device: str | torch.device = "cpu", half: bool = False):
        self.encoder: Any = encoder.eval().to(device)
        self.normalizer = Normalize(encoder.preprocessing).to(device)  # type: ignore[arg-type]
        self.pool, self.device, self.half = pool, torch.device(device), half

    @torch.inference_mode()
    def __call__(self, video_BCTHW: Tensor) -> Tensor:
        """float32 (B, D), or float16 (B, N, D) for "tokens"."""
        video = self.normalizer(video_BCTHW.to(self.device, non_blocking=True))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            if self.pool == "cls":
                out = self.encoder(video, return_cls=True)[1]
            else:
                out = self.encoder(video)
                if self.pool == "mean":
                    out = self.encoder.pool(out) if hasattr(self.encoder, "pool") else out.mean(1)
        if not bool(out.isfinite().all()):
            raise ValueError("the encoder gives features that are not finite numbers: are these weights whole?")
        return out.half() if self.pool == "tokens" else out.float()
