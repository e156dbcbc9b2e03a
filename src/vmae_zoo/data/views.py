"""Several fixed views of each video: clips along time, crops along the longer side.

`lightning test` averages over them, and features are computed from them. One pass over a video yields all its clips.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vmae_zoo.data.clip_frames import SegmentFrames, view_ids
from vmae_zoo.data.clip_spec import DEFAULT_CLIP, ClipSpec
from vmae_zoo.data.dataset import collate
from vmae_zoo.data.reader import FILES, VideoReader
from vmae_zoo.data.storage_retry import Item, RetryingDataset
from vmae_zoo.data.transforms import crop_view
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.randomness import hash_text, sample_key
from vmae_zoo.video.decode import VideoError


class ViewDataset(RetryingDataset):
    """The views of each record: clips x crops items, crops varying fastest.

    Clips lie along time (5 in VideoMAE's tests on Kinetics, 2 on Something-Something V2), one is the middle; crops
    along the longer side (3 in the papers), one is the center.
    """

    def __init__(
        self,
        records: Sequence[ClipRecord],
        clip: ClipSpec = DEFAULT_CLIP,
        clips: int = 1,
        crops: int = 1,
        seed: int = 0,
        required_dirs: Sequence[Path] = (),
        reader: VideoReader = FILES,
    ):
        super().__init__(records, required_dirs, reader)
        self.clip, self.clips, self.crops, self.seed = clip, clips, crops, seed

    def __getitem__(self, ref: tuple[int, ...] | int) -> list[Item]:
        """The views of a record; for an unreadable video one item with nothing but "bad"."""
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

    def _read(self, record: ClipRecord) -> list[np.ndarray]:
        info = self.reader.probe(record.path)
        segment = SegmentFrames(record, info, self.clip, self.reader)
        ids = segment.frames(view_ids(self.clip, self.clips, segment.total, record.stride_frames, segment.rate))
        return np.split(self.reader.read_clip(record.path, ids.ravel(), self.clip.size), self.clips)


def collate_views(samples: Sequence[list[Item]]) -> dict[str, Any]:
    """One batch of the views of several videos, without unreadable videos, which are listed under "bad"."""
    if "unavailable" in samples[0][0]:
        return samples[0][0]
    bad = [entry for sample in samples for item in sample for entry in item.pop("bad", ())]
    readable = [sample for sample in samples if sample[0]]
    batch = collate(readable) if readable else {}
    return {**batch, "bad": bad} if bad else batch
