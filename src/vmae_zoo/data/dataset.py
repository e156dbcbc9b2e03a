"""Clips by (row, epoch): decode, crop, flip; every choice a function of the sample's key.

T frames, H rows, W columns, C = 3 channels, B clips. Pixels stay uint8: the device normalises them.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from vmae_zoo.data.augment import rand_augment
from vmae_zoo.data.motion_check import check_motion
from vmae_zoo.data.sampling import (
    FPS,
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
from vmae_zoo.data.storage_retry import Patient
from vmae_zoo.data.transforms import Cut, centre_box, cut_out, mirrored, multi_scale_box, random_box
from vmae_zoo.datasets.layouts import Row
from vmae_zoo.randomness import Draws, hash_text, sample_key
from vmae_zoo.video.decode import VideoError, VideoInfo
from vmae_zoo.video.ffmpeg_log import probe_heard, read_heard
from vmae_zoo.video.motion_vectors import Motion

Extras = Mapping[str, Callable[..., np.ndarray]]
Item = dict[str, Any]

CROPS = ("multi_scale", "random_resized", "centre")
SAMPLINGS = ("dense", "span", "window", "uniform", "sparse")
TRIES = 10  # replacements for one unreadable video before the run stops


class ClipDataset(Patient):
    """The clips of some rows.

    Args:
        rows: what to read.
        frames: frames of a clip.
        stride_frames: distance of the frames.
        size: side of the square clip in pixels.
        train: random start and crop; otherwise the middle clip and the centre crop, the same in every epoch.
        repeats: clips of one decoded video, each with its own crop and key (4 in VideoMAE V2).
        crop: of training clips, one of `CROPS`.
        scales: shares of the shorter side that the multi-scale crop takes.
        flip: mirror every other training clip.
        short_side: larger videos are read with this many pixels on the shorter side; None reads them as they are.
        seed: of all keys.
        extras: arrays to compute for each cropped clip: name -> function of (uint8 (T, H, W, C), key), and of the
            `Motion` that its decoding told and its crop shows where the function's ``wants_motion`` is True.
        views: 2 adds a second clip of the same video, with its own start and crop, as "other" (MoCo v3).
        same_clip: the second view is another crop of the same clip.
        area: lowest and highest share of the frame that the random resized crop takes.
        sampling: of the frames: "dense" (pre-training), "span" (the same by time, space-time MAE's), "window"
            (fine-tuning), "uniform" or "sparse" (one per segment of the video), see `vmae_zoo.data.sampling`.
        rand_augment: operations of RandAugment on a training clip, 0 for none.
        refuse_corrupt: a clip with pixels that the decoder had to make up counts as unreadable.
        anchors: folders without which nothing below them can be read: `GoneError` where one is gone.
        fps: rates that ``stride_frames`` counts at where the sampling is "span"; a training clip draws one of them.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        frames: int = 16,
        stride_frames: int = 4,
        size: int = 224,
        train: bool = True,
        repeats: int = 1,
        crop: str = "multi_scale",
        scales: Sequence[float] = (1, 0.875, 0.75, 0.66),
        flip: bool = False,
        short_side: int | None = None,
        seed: int = 0,
        extras: Extras | None = None,
        views: int = 1,
        same_clip: bool = False,
        area: Sequence[float] = (0.08, 1.0),
        sampling: str = "dense",
        rand_augment: int = 0,
        refuse_corrupt: bool = False,
        anchors: Sequence[Path] = (),
        fps: Sequence[float] = (FPS,),
    ):
        super().__init__(anchors)
        for name, value, known in (("crop", crop, CROPS), ("sampling", sampling, SAMPLINGS)):
            if value not in known:
                raise ValueError(f"{name} = {value!r} is not known: choose one of {', '.join(known)}")
        self.rows = rows
        self.frames, self.stride_frames, self.size = frames, stride_frames, size
        self.train, self.repeats = train, repeats if train else 1
        self.crop, self.scales, self.flip, self.short_side = crop, scales, flip, short_side
        self.seed, self.extras, self.views = seed, dict(extras or {}), views
        self.sampling, self.rand_augment = sampling, rand_augment
        self.refuse_corrupt, self.fps = refuse_corrupt, tuple(fps)
        self.same_clip, self.area = same_clip, (area[0], area[1])
        self.wants_motion = any(_wants_motion(compute) for compute in self.extras.values())
        if self.wants_motion:
            check_motion(rows, self.rand_augment if train else 0)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: tuple[int, ...] | int) -> list[Item]:
        """The clips of a row in an epoch, one per repeat; a place is (row, epoch), and which of the row's copies.

        An unreadable video is replaced by another row's, chosen by the sample's key; each replacement is told under
        "bad" of the first item. After `TRIES` of them the one item returned holds nothing but "bad". A clip with pixels
        that the decoder made up is told there too, with no replacement.
        """
        index, epoch, copy = (*place, 0)[:3] if isinstance(place, tuple) else (place, 0, 0)
        keys = self.keys(index, epoch, copy)
        replacements = Draws(keys[0], "replacement")
        bad: list[dict[str, Any]] = []
        motion = Motion() if self.wants_motion else None
        for _ in range(TRIES + 1):
            row = self.rows[index]
            told: dict[str, Any] = {"path": str(row.path), "reason": None, "replacement": None}
            told |= {"epoch": epoch, "key": keys[0]}
            try:
                items: list[Item] = [{"index": index, "label": row.label, "key": key} for key in keys]
                for purpose, name in zip(("", " other")[: self.views], ("video", "other"), strict=False):
                    if name == "video" or not self.same_clip:
                        clip, made_up = self._read(row, keys[0], purpose, motion if name == "video" else None)
                        told["reason"] = told["reason"] or made_up
                    for item in items:
                        item[name] = self._cropped(clip, item["key"], purpose)
            except (VideoError, IndexError, OSError) as error:
                self.check_there(row.path)
                others = max(len(self.rows) - 1, 1)
                index = (index + 1 + replacements.integer(0, others)) % len(self.rows)
                bad.append({**told, "reason": str(error), "replacement": str(self.rows[index].path)})
                continue
            if told["reason"]:
                bad.append(told)
            for item in items:
                self._add_extras(item, motion, clip.shape[1:3])
            if bad:
                items[0]["bad"] = bad
            return items
        return [{"bad": bad}]

    def keys(self, index: int, epoch: int, copy: int = 0) -> list[int]:
        """The keys of a row's repeats; those of evaluation do not change with the epoch."""
        sample, first = hash_text(self.rows[index].id), copy * self.repeats
        when = epoch if self.train else 0
        return [sample_key(self.seed, when, sample, repeat) for repeat in range(first, first + self.repeats)]

    def _add_extras(self, item: Item, motion: Motion | None, frame: tuple[int, int]) -> None:
        """What is to be computed of a cropped clip; ``frame`` has the rows and columns of the whole one."""
        seen = motion and motion.cropped(self._cut(frame, item["key"], ""))
        for name, compute in self.extras.items():
            item[name] = compute(item["video"], item["key"], *([seen] if _wants_motion(compute) else []))
        if seen:
            item["vectors"] = seen.has_vectors

    def _read(self, row: Row, key: int, purpose: str, motion: Motion | None = None) -> tuple[np.ndarray, str | None]:
        info = probe_heard(row.path)
        first, total = segment_of(row, info)
        stride = row.stride_frames or self.stride_frames
        draws = Draws(key, "start" + purpose) if self.train else None
        if self.sampling == "span":
            target = Draws(key, "fps" + purpose).choice(self.fps) if self.train else self.fps[0]
            ids = first + self._by_time(total, clip_span(self.frames, stride, rate_of(row, info), target), draws)
        else:
            ids = first + self._ids(total, stride, draws)
        return read_heard(row.path, ids, self._short_side(info), self.refuse_corrupt, motion=motion)

    def _ids(self, total: int, stride: int, draws: Draws | None) -> np.ndarray:
        """Frames of a random clip, of the middle one without draws."""
        frames = self.frames
        if self.sampling == "uniform":
            return segment_ids(total, frames, draws)
        if self.sampling == "sparse":
            return sparse_ids(total, frames, draws)
        if self.sampling == "window":
            return window_ids(total, frames, stride, window_end(total, frames, stride, draws))
        start = dense_start(total, frames, stride, draws) if draws else max(total - frames * stride, 0) // 2
        return dense_ids(total, frames, stride, start)

    def _by_time(self, total: int, span: float, draws: Draws | None) -> np.ndarray:
        """Frames of a random clip that spans so many, of the middle one without draws."""
        start = span_start(total, span, draws) if draws else span_view_start(total, span, 0, 1)
        return span_ids(total, self.frames, span, start)

    def _short_side(self, info: VideoInfo) -> int | None:
        if not self.train or self.crop == "centre":
            return self.size
        larger = self.short_side is not None and min(info.height, info.width) > self.short_side
        return self.short_side if larger else None

    def _cropped(self, clip: np.ndarray, key: int, purpose: str) -> np.ndarray:
        cut = self._cut(clip.shape[1:3], key, purpose)
        if self.train and self.rand_augment:
            clip = rand_augment(clip, Draws(key, "augment" + purpose), self.rand_augment)
        return cut_out(clip, cut, self.size)

    def _cut(self, frame: tuple[int, int], key: int, purpose: str) -> Cut:
        """What a clip shows of a frame of so many rows and columns."""
        draws = Draws(key, "crop" + purpose)
        if not self.train or self.crop == "centre":
            box = centre_box(frame, self.size)
        elif self.crop == "multi_scale":
            box = multi_scale_box(frame, self.size, draws, self.scales)
        else:
            box = random_box(frame, draws, self.area)
        return Cut(frame, box, self.train and self.flip and mirrored(Draws(key, "flip" + purpose)))


def _wants_motion(compute: Callable[..., np.ndarray]) -> bool:
    return getattr(compute, "wants_motion", False)


def rate_of(row: Row, info: VideoInfo) -> float:
    """Frames a second of a row's video; `VideoError` where it does not say."""
    if info.fps <= 0:
        raise VideoError(f"{row.path} does not say its frame rate, which choosing frames by time needs")
    return info.fps


def segment_of(row: Row, info: VideoInfo) -> tuple[int, int]:
    """First frame and number of frames of a row's segment."""
    if row.start is None and row.end is None:
        return 0, info.frames
    if info.fps <= 0:
        raise VideoError(f"{row.path} does not say its frame rate, which the segment {row.id} needs")
    first = int((row.start or 0) * info.fps)
    last = info.frames if row.end is None else min(round(row.end * info.fps), info.frames)
    if first >= last:
        raise VideoError(f"{row.path} has {info.frames} frames: nothing of the segment {row.id}")
    return first, last - first


def collate(samples: Sequence[list[Item]]) -> dict[str, Any]:
    """One batch of the items of several rows, in their order.

    Returns:
        "video" (and "other") uint8 (B, C, T, H, W); "key", "index", "label" int64 (B,); the extras by name; "vectors"
        bool (B,) where one wants motion: whether the file told any; and where a video was unreadable "bad", a list of
        dicts. Where no replacement was found, nothing but "bad"; where a folder
        is gone, "gone" and "places".
    """
    if "gone" in samples[0][0]:
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
