"""Several fixed views of each video: clips along time, crops along the longer side.

`lightning test` averages over them, and features are computed from them. One pass over a video yields all its clips.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vmae_zoo.data.clip_spec import DEFAULT_CLIP, ClipSpec
from vmae_zoo.data.dataset import Item, collate, rate_of, segment_of
from vmae_zoo.data.sampling import FPS, clip_span, dense_view_ids, segment_view_ids, span_ids, span_view_start
from vmae_zoo.data.storage_retry import RetryingDataset
from vmae_zoo.data.transforms import crop_view
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.randomness import hash_text, sample_key
from vmae_zoo.video.decode import VideoError, probe, read_clip


class ViewDataset(RetryingDataset):
    """The views of some records: a list of clips x crops items each, crops varying fastest.

    Args:
        records: what to read.
        clip: which frames and how large; the shorter side of the video is read at ``clip.size``, and of several rates
            the first counts.
        clips: views along time (5 in VideoMAE's tests on Kinetics, 2 on Something-Something V2); one is the middle.
        crops: views along the longer side (3 in the papers); one is the centre.
        seed: of the keys.
        required_dirs: see `RetryingDataset`.
    """

    def __init__(
        self,
        records: Sequence[ClipRecord],
        clip: ClipSpec = DEFAULT_CLIP,
        clips: int = 1,
        crops: int = 1,
        seed: int = 0,
        required_dirs: Sequence[Path] = (),
    ):
        super().__init__(required_dirs)
        self.records, self.clip, self.clips, self.crops, self.seed = records, clip, clips, crops, seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, ref: tuple[int, ...] | int) -> list[Item]:
        """The views of a record; for an unreadable video one item that holds nothing but "bad"."""
        index = ref[0] if isinstance(ref, tuple) else ref
        record = self.records[index]
        try:
            clips = self._read(record)
        except (VideoError, IndexError, OSError) as error:
            self.check_available(record.path)
            entry = {"path": str(record.path), "index": index, "reason": str(error), "replacement": "nothing"}
            return [{"bad": [entry]}]
        shared = {"index": index, "label": record.label, "key": sample_key(self.seed, 0, hash_text(record.id))}
        views = [crop_view(clip, self.clip.size, crop, self.crops) for clip in clips for crop in range(self.crops)]
        return [{**shared, "view": view, "video": video} for view, video in enumerate(views)]

    def ids(self, total: int, stride_frames: int | None = None, rate: float = FPS) -> np.ndarray:
        """Frames of all clips of a video: int64 (clips, frames).

        Args:
            total: frames of the video.
            stride_frames: distance between frames; None: that of the clip.
            rate: frames per second of the video, for clips sampled by time.
        """
        frames, stride = self.clip.frames, stride_frames or self.clip.stride_frames
        if self.clip.sampling == "span":
            span = clip_span(frames, stride, rate, self.clip.fps[0])
            starts = [span_view_start(total, span, clip, self.clips) for clip in range(self.clips)]
            ids = [span_ids(total, frames, span, start) for start in starts]
        elif self.clip.sampling in ("uniform", "sparse"):
            ids = [segment_view_ids(total, frames, clip, self.clips) for clip in range(self.clips)]
        else:
            ids = [dense_view_ids(total, frames, stride, clip, self.clips) for clip in range(self.clips)]
        return np.stack(ids)

    def _read(self, record: ClipRecord) -> list[np.ndarray]:
        info = probe(record.path)
        first, total = segment_of(record, info)
        rate = rate_of(record, info) if self.clip.sampling == "span" else FPS
        ids = first + self.ids(total, record.stride_frames, rate)
        return np.split(read_clip(record.path, ids.ravel(), self.clip.size), self.clips)


def collate_views(samples: Sequence[list[Item]]) -> dict[str, Any]:
    """One batch of the views of several videos; unreadable ones are left out and listed under "bad"."""
    if "unavailable" in samples[0][0]:
        return samples[0][0]
    bad = [entry for sample in samples for item in sample for entry in item.pop("bad", ())]
    readable = [sample for sample in samples if sample[0]]
    batch = collate(readable) if readable else {}
    return {**batch, "bad": bad} if bad else batch
