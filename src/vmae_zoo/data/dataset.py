"""Clips by (record, epoch): decode, crop, flip; every random choice is a function of the sample's key.

T frames, H rows, W columns, C = 3 channels, B clips. Pixels stay uint8: the device normalizes them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from vmae_zoo.data.augment import rand_augment
from vmae_zoo.data.clip_spec import DEFAULT_AUGMENTATION, DEFAULT_CLIP, ONE_CLIP, Augmentation, ClipRequest, ClipSpec
from vmae_zoo.data.sampling import (
    clip_span,
    dense_ids,
    dense_start,
    segment_ids,
    span_ids,
    span_start,
    span_view_start,
    sparse_ids,
    window_end,
    window_ids,
)
from vmae_zoo.data.storage_retry import RetryingDataset
from vmae_zoo.data.transforms import centre_box, crop_and_resize, mirrored, multi_scale_box, random_box
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key
from vmae_zoo.video.decode import VideoError, VideoInfo, probe, read_clip

Item = dict[str, Any]

TRIES = 10  # replacements for one unreadable video before the run stops


class ClipDataset(RetryingDataset):
    """The clips of some records.

    Args:
        records: what to read.
        clip: which frames, and how large.
        augmentation: of training clips.
        request: what the method asks for beside one clip per sample.
        train: random start and crop; otherwise the middle clip and the centre crop, the same in every epoch.
        repeats: clips of one decoded video, each with its own crop and key (4 in VideoMAE V2).
        seed: of all keys.
        required_dirs: see `RetryingDataset`.
    """

    def __init__(
        self,
        records: Sequence[ClipRecord],
        clip: ClipSpec = DEFAULT_CLIP,
        augmentation: Augmentation = DEFAULT_AUGMENTATION,
        request: ClipRequest = ONE_CLIP,
        train: bool = True,
        repeats: int = 1,
        seed: int = 0,
        required_dirs: Sequence[Path] = (),
    ):
        super().__init__(required_dirs)
        self.records, self.clip, self.request, self.seed = records, clip, request, seed
        self.augmentation = augmentation if train else Augmentation(crop="centre")
        self.train, self.repeats = train, repeats if train else 1

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, ref: tuple[int, ...] | int) -> list[Item]:
        """The clips of a record in an epoch, one per repeat.

        An unreadable video is replaced by another one, chosen by the sample's key; the first item lists each
        replacement under "bad". After `TRIES` replacements the only item holds nothing but "bad".

        Args:
            ref: a `vmae_zoo.data.sampler.SampleRef`; or the index alone.
        """
        index, epoch, copy = (*ref, 0)[:3] if isinstance(ref, tuple) else (ref, 0, 0)
        keys = self.keys(index, epoch, copy)
        replacements = KeyedRNG(keys[0], "replacement")
        bad: list[dict[str, Any]] = []
        for _ in range(TRIES + 1):
            record = self.records[index]
            try:
                items = self._items(index, keys)
            except (VideoError, IndexError, OSError) as error:
                self.check_available(record.path)
                others = max(len(self.records) - 1, 1)
                index = (index + 1 + replacements.integer(0, others)) % len(self.records)
                entry = {"path": str(record.path), "reason": str(error), "replacement": str(self.records[index].path)}
                bad.append({**entry, "epoch": epoch, "key": keys[0]})
                continue
            if bad:
                items[0]["bad"] = bad
            return items
        return [{"bad": bad}]

    def keys(self, index: int, epoch: int, copy: int = 0) -> list[int]:
        """The keys of a record's repeats; those of evaluation do not change with the epoch."""
        sample, first = hash_text(self.records[index].id), copy * self.repeats
        when = epoch if self.train else 0
        return [sample_key(self.seed, when, sample, repeat) for repeat in range(first, first + self.repeats)]

    def _items(self, index: int, keys: list[int]) -> list[Item]:
        record = self.records[index]
        items: list[Item] = [{"index": index, "label": record.label, "key": key} for key in keys]
        frames = np.empty(0)
        for purpose, name in zip(("", " other")[: self.request.views], ("video", "other"), strict=False):
            if name == "video" or not self.request.same_clip:
                frames = self._read(record, keys[0], purpose)
            for item in items:
                item[name] = self._augmented(frames, item["key"], purpose)
        for item in items:
            item |= {name: compute(item["video"], item["key"]) for name, compute in self.request.per_clip.items()}
        return items

    def _read(self, record: ClipRecord, key: int, purpose: str) -> np.ndarray:
        info = probe(record.path)
        first, total = segment_of(record, info)
        stride = record.stride_frames or self.clip.stride_frames
        rng = KeyedRNG(key, "start" + purpose) if self.train else None
        if self.clip.sampling == "span":
            fps = KeyedRNG(key, "fps" + purpose).choice(self.clip.fps) if self.train else self.clip.fps[0]
            span = clip_span(self.clip.frames, stride, rate_of(record, info), fps)
            start = span_start(total, span, rng) if rng else span_view_start(total, span, 0, 1)
            ids = span_ids(total, self.clip.frames, span, start)
        else:
            ids = self._ids(total, stride, rng)
        return read_clip(record.path, first + ids, self._short_side(info))

    def _ids(self, total: int, stride: int, rng: KeyedRNG | None) -> np.ndarray:
        """Frames of a random clip; of the middle one without a generator."""
        frames, sampling = self.clip.frames, self.clip.sampling
        if sampling == "uniform":
            return segment_ids(total, frames, rng)
        if sampling == "sparse":
            return sparse_ids(total, frames, rng)
        if sampling == "window":
            return window_ids(total, frames, stride, window_end(total, frames, stride, rng))
        start = dense_start(total, frames, stride, rng) if rng else max(total - frames * stride, 0) // 2
        return dense_ids(total, frames, stride, start)

    def _short_side(self, info: VideoInfo) -> int | None:
        if self.augmentation.crop == "centre":
            return self.clip.size
        short_side = self.augmentation.short_side
        return short_side if short_side is not None and min(info.height, info.width) > short_side else None

    def _augmented(self, frames: np.ndarray, key: int, purpose: str) -> np.ndarray:
        augmentation, frame, rng = self.augmentation, frames.shape[1:3], KeyedRNG(key, "crop" + purpose)
        if augmentation.crop == "centre":
            box = centre_box(frame, self.clip.size)
        elif augmentation.crop == "multi_scale":
            box = multi_scale_box(frame, self.clip.size, rng, augmentation.scales)
        else:
            box = random_box(frame, rng, augmentation.area)
        if augmentation.rand_augment:
            frames = rand_augment(frames, KeyedRNG(key, "augment" + purpose), augmentation.rand_augment)
        flip = augmentation.flip and mirrored(KeyedRNG(key, "flip" + purpose))
        return crop_and_resize(frames, box, self.clip.size, flip)


def rate_of(record: ClipRecord, info: VideoInfo) -> float:
    """Frame rate of a record's video; `VideoError` if the file does not state it."""
    if info.fps <= 0:
        raise VideoError(f"{record.path} does not state its frame rate, which sampling by time needs")
    return info.fps


def segment_of(record: ClipRecord, info: VideoInfo) -> tuple[int, int]:
    """First frame and number of frames of a record's segment."""
    if record.start is None and record.end is None:
        return 0, info.frames
    if info.fps <= 0:
        raise VideoError(f"{record.path} does not state its frame rate, which the segment {record.id} needs")
    first = int((record.start or 0) * info.fps)
    last = info.frames if record.end is None else min(round(record.end * info.fps), info.frames)
    if first >= last:
        raise VideoError(f"{record.path} has {info.frames} frames: the segment {record.id} lies outside")
    return first, last - first


def collate(samples: Sequence[list[Item]]) -> dict[str, Any]:
    """One batch of the items of several records, in their order.

    Returns:
        "video" (and "other") uint8 (B, C, T, H, W); "key", "index", "label" int64 (B,); the arrays of
        ``ClipRequest.per_clip`` by name; and if a video was unreadable "bad", a list of dicts. Nothing but "bad" if no
        replacement was found; "unavailable" and "refs" if a folder cannot be reached.
    """
    if "unavailable" in samples[0][0]:
        return samples[0][0]
    items = [item for sample in samples for item in sample]
    bad = [entry for item in items for entry in item.pop("bad", ())]
    if not all(items):
        return {"bad": bad}
    batch = default_collate([{name: _tensor(name, value) for name, value in item.items()} for item in items])
    return {**batch, "bad": bad} if bad else batch


def _tensor(name: str, value: Any) -> torch.Tensor:
    if name in ("video", "other"):
        return torch.from_numpy(value).permute(3, 0, 1, 2)
    return torch.as_tensor(value)
