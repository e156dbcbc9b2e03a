"""Features of videos from a frozen encoder, computed once and cached on disk.

Shapes: R videos, V views of each, N tokens, D = width.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from vmae_zoo.data.clip_spec import Augmentation, ClipSpec
from vmae_zoo.data.dataset import ClipDataset
from vmae_zoo.data.loader import SignalSafeLoader
from vmae_zoo.data.views import ViewDataset, collate_views
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.evaluation.feature_store import FeatureStore, cache_root
from vmae_zoo.models.fingerprint import fingerprint
from vmae_zoo.models.preprocessing import Normalize
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.setting_checks import check_choice

POOLS = ("mean", "cls", "tokens")


@dataclass(frozen=True)
class Views:
    """Which views of a video are encoded.

    Args:
        clips: clips along time, spread from start to end; 1 is the middle clip.
        crops: crops along the longer side; 1 is the center crop.
        augmented: number of random views per video instead of the fixed ones; 0 for none.
        flip: mirror half of the random views.
    """

    clips: int = 1
    crops: int = 1
    augmented: int = 0
    flip: bool = False

    def __post_init__(self):
        if self.clips < 1 or self.crops < 1 or self.augmented < 0:
            raise ValueError(f"clips and crops must be >= 1 and augmented >= 0, got {self}")

    @property
    def count(self) -> int:
        """Views per video."""
        return self.augmented or self.clips * self.crops

    def loader(
        self, records: Sequence[ClipRecord], clip: ClipSpec, batch_size: int, workers: int, epoch: int = 0
    ) -> SignalSafeLoader:
        """Batches of ``batch_size`` views of these videos, at least those of one; random ones differ by epoch."""
        views: Dataset = ViewDataset(records, clip, self.clips, self.crops)
        if self.augmented:
            views = RandomViews(records, clip, self, epoch)
        return SignalSafeLoader(
            views,
            max(batch_size // self.count, 1),
            num_workers=workers,
            collate_fn=collate_views,
        )


MIDDLE = Views()


class RandomViews(Dataset):
    """Random views of each video, in the format of `vmae_zoo.data.views.ViewDataset`."""

    def __init__(self, records: Sequence[ClipRecord], clip: ClipSpec, views: Views, epoch: int):
        self.clips = ClipDataset(records, clip, Augmentation(flip=views.flip))
        self.count, self.epoch = views.augmented, epoch

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> list[dict[str, Any]]:
        """The views of a video; for an unreadable video one item that holds only "bad"."""
        items = [self.clips[(index, self.epoch * self.count + view)][0] for view in range(self.count)]
        bad = next((entry for item in items for entry in item.get("bad", ())), None)
        return items if bad is None else [{"bad": [{**bad, "index": index}]}]


@dataclass(frozen=True)
class Features:
    """Features of videos.

    Args:
        records: the readable videos.
        values: an array per video, memory-mapped from disk: (V, D), or (V, N, D) for tokens.
        unreadable: path and reason of the other videos.
        computed: number of videos that were encoded now; the others came from the cache.
    """

    records: list[ClipRecord]
    values: Sequence[np.ndarray]
    unreadable: list[dict[str, Any]]
    computed: int

    def tensor(self) -> Tensor:
        """All values, float32 (R, V, D); ``ValueError`` if there are none."""
        if not self.records:
            raise ValueError("none of the videos can be read")
        return torch.from_numpy(np.stack([np.asarray(value, np.float32) for value in self.values]))

    def subset(self, indices: Sequence[int]) -> "Features":
        """The features of some of the videos."""
        return replace(self, records=[self.records[i] for i in indices], values=[self.values[i] for i in indices])

    def labels(self) -> Tensor:
        """Class of each video, int64 (R,)."""
        return torch.tensor([record.label for record in self.records])


def compute_features(
    encoder: VideoEncoder,
    records: Sequence[ClipRecord],
    views: Views = MIDDLE,
    *,
    pool: str = "mean",
    device: str | torch.device = "cpu",
    batch_size: int = 32,
    workers: int = 0,
    half: bool = False,
    cache: Path | None = None,
    progress: str | None = None,
) -> Features:
    """Encode the videos whose features are not in the cache yet.

    Args:
        encoder: a `vmae_zoo.models.video_encoder.VideoEncoder`; it is left in eval mode.
        records: the videos.
        views: views of each video.
        pool: "mean" (``encoder.pool``), "cls" (the class token) or "tokens" (all of them, float16).
        device: device of the encoder.
        batch_size: views per forward pass; at least those of one video.
        workers: processes that decode.
        half: run the encoder in bfloat16.
        cache: folder of the feature stores; None: `vmae_zoo.evaluation.feature_store.cache_root`.
        progress: title of a progress bar; None shows none.

    Raises:
        ValueError: the encoder has no class token to pool, or its features are not finite.
    """
    check_choice("pool", pool, POOLS)
    check_encoder(encoder)
    store = FeatureStore(cache or cache_root(), cache_key(encoder, views, pool, half))
    missing = [record for record in records if record not in store]
    unreadable: list[dict[str, Any]] = []
    if missing:
        extractor = FeatureExtractor(encoder, pool, device, half)
        writer = None
        bar = tqdm(total=len(missing), desc=progress, unit="video", disable=None if progress else True)
        for batch in views.loader(missing, encoder.preprocessing.clip, batch_size, workers):
            bad = batch.pop("bad", [])
            unreadable += [{"path": entry["path"], "reason": entry["reason"]} for entry in bad]
            if batch:
                values = extractor(batch["video"]).unflatten(0, (-1, views.count)).cpu().numpy()
                done = [missing[index] for index in batch["index"][:: views.count].tolist()]
                writer = writer or store.writer(len(missing), values.shape[1:], values.dtype)
                writer.add(done, values)
            bar.update(len(bad) + (len(batch["index"]) // views.count if batch else 0))
        bar.close()
    known = [record for record in records if record in store]
    return Features(known, [store.get(record) for record in known], unreadable, len(missing) - len(unreadable))


def check_encoder(encoder: object) -> None:
    """``ValueError`` if this is no `VideoEncoder`."""
    if not isinstance(encoder, VideoEncoder):
        raise ValueError(
            f"{type(encoder).__name__} is not an encoder: derive it from vmae_zoo.models.video_encoder.VideoEncoder"
        )


def cache_key(encoder: VideoEncoder, views: Views, pool: str, half: bool) -> dict[str, Any]:
    """Everything that features depend on, except the videos."""
    return {
        "encoder": fingerprint(encoder),
        "preprocessing": asdict(encoder.preprocessing),
        "views": asdict(views),
        "pool": pool,
        "half": half,
        "format": 1,
    }


class FeatureExtractor:
    """Maps uint8 clips to features on a device, without gradients: normalize, encode (``half``: in bfloat16), pool.

    The encoder is moved to the device and set to eval mode.
    """

    def __init__(self, encoder: VideoEncoder, pool: str, device: str | torch.device = "cpu", half: bool = False):
        self.encoder = encoder.eval().to(device)
        self.normalizer = Normalize(encoder.preprocessing).to(device)
        self.pool, self.device, self.half = pool, torch.device(device), half

    @torch.inference_mode()
    def __call__(self, video_BCTHW: Tensor) -> Tensor:
        """float32 (B, D), or float16 (B, N, D) if pool is "tokens"."""
        video = self.normalizer(video_BCTHW.to(self.device, non_blocking=True))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            if self.pool == "cls":
                out = self.encoder.encode_cls(video)
            else:
                out = self.encoder(video)
                if self.pool == "mean":
                    out = self.encoder.pool(out)
        if not bool(out.isfinite().all()):
            raise ValueError("the encoder's features are not finite: check its weights")
        return out.half() if self.pool == "tokens" else out.float()
