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
from vmae_zoo.data.clip_frames import clip_ids
from vmae_zoo.data.clip_spec import DEFAULT_AUGMENTATION, DEFAULT_CLIP, ONE_CLIP, Augmentation, ClipRequest, ClipSpec
from vmae_zoo.data.reader import FILES, VideoReader
from vmae_zoo.data.storage_retry import Item, RetryingDataset
from vmae_zoo.data.transforms import center_box, crop_and_resize, multi_scale_box, random_box, random_flip
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key
from vmae_zoo.video.decode import VideoError, VideoInfo

TRIES = 10  # replacements for one unreadable video before the run stops


class ClipDataset(RetryingDataset):
    """One or more clips of each record.

    Args:
        records: the clips to read.
        clip: which frames, and the size in pixels.
        augmentation: random changes of training clips.
        request: what the method needs in addition to one clip per sample.
        train: random start and crop; otherwise the middle clip and the center crop, the same in every epoch.
        repeats: clips of one decoded video, each with its own crop and key (4 in VideoMAE V2).
        seed: seed of all keys.
        required_dirs: folders without which no video in them can be read.
        reader: how videos are read.
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
        reader: VideoReader = FILES,
    ):
        super().__init__(records, required_dirs, reader)
        self.clip, self.request, self.seed = clip, request, seed
        self.augmentation = augmentation if train else Augmentation(crop="centre")
        self.train, self.repeats = train, repeats if train else 1

    def __getitem__(self, ref: tuple[int, ...] | int) -> list[Item]:
        """The clips of a record in an epoch, one per repeat.

        An unreadable video is replaced by another one, chosen by the sample's key; the first item lists each
        replacement under "bad". After `TRIES` replacements the only item contains nothing but "bad".

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
        """The keys of a record's repeats; evaluation keys do not depend on the epoch."""
        sample, first = hash_text(self.records[index].id), copy * self.repeats
        epoch = epoch if self.train else 0
        return [sample_key(self.seed, epoch, sample, repeat) for repeat in range(first, first + self.repeats)]

    def _items(self, index: int, keys: list[int]) -> list[Item]:
        record = self.records[index]
        items: list[Item] = [{"index": index, "label": record.label, "key": key} for key in keys]
        frames = np.empty(0)
        for purpose, name in zip(("", " other")[: self.request.views], ("video", "other"), strict=False):
            if name == "video" or not self.request.same_clip:
                info = self.reader.probe(record.path)
                ids = clip_ids(record, info, self.clip, keys[0] if self.train else None, purpose, self.reader)
                frames = self.reader.read_clip(record.path, ids, self._short_side(info))
            for item in items:
                item[name] = self._augment(frames, item["key"], purpose)
        for item in items:
            item |= {name: compute(item["video"], item["key"]) for name, compute in self.request.per_clip.items()}
        return items

    def _short_side(self, info: VideoInfo) -> int | None:
        if self.augmentation.crop == "centre":
            return self.clip.size
        short_side = self.augmentation.short_side
        return short_side if short_side is not None and min(info.height, info.width) > short_side else None

    def _augment(self, frames: np.ndarray, key: int, purpose: str) -> np.ndarray:
        augmentation, size, rng = self.augmentation, frames.shape[1:3], KeyedRNG(key, "crop" + purpose)
        if augmentation.crop == "centre":
            box = center_box(size, self.clip.size)
        elif augmentation.crop == "multi_scale":
            box = multi_scale_box(size, self.clip.size, rng, augmentation.scales)
        else:
            box = random_box(size, rng, augmentation.area)
        if augmentation.rand_augment:
            frames = rand_augment(frames, KeyedRNG(key, "augment" + purpose), augmentation.rand_augment)
        flip = augmentation.flip and random_flip(KeyedRNG(key, "flip" + purpose))
        return crop_and_resize(frames, box, self.clip.size, flip)


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
    batch = default_collate([{name: torch.as_tensor(value) for name, value in item.items()} for item in items])
    for name in {"video", "other"} & batch.keys():
        batch[name] = batch[name].permute(0, 4, 1, 2, 3)  # a view: the device transposes what it reads
    return {**batch, "bad": bad} if bad else batch
