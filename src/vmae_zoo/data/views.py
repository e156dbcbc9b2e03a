"""Several views of each video: clips along time, crops along the longer side; no chance in it.

What `lightning test` averages over and what features are computed from. One pass over a video gives all of its clips.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vmae_zoo.data.dataset import Item, collate, rate_of, segment_of
from vmae_zoo.data.sampling import FPS, clip_span, dense_view_ids, segment_view_ids, span_ids, span_view_start
from vmae_zoo.data.storage_retry import Patient
from vmae_zoo.data.transforms import crop_view
from vmae_zoo.datasets.layouts import Row
from vmae_zoo.randomness import hash_text, sample_key
from vmae_zoo.video.decode import VideoError
from vmae_zoo.video.ffmpeg_log import probe_heard, read_heard


class ViewDataset(Patient):
    """The views of some rows: a list of clips x crops items per row, crops varying fastest.

    Args:
        rows: what to read.
        frames: frames of a clip.
        stride_frames: distance of the frames; of no account where the sampling is uniform.
        size: side of the square crops in pixels; the shorter side of the video is read at this size.
        sampling: "uniform" and "sparse" take the frames of a clip from all of the video, "span" from a window of so
            many seconds, anything else from one of so many frames.
        clips: views along time (5 in VideoMAE's tests on Kinetics, 2 on Something-Something V2); one is the middle.
        crops: views along the longer side (3 in the papers); one is the centre.
        seed: of the keys.
        refuse_corrupt: a video with pixels that the decoder had to make up counts as unreadable.
        anchors: folders without which nothing below them can be read.
        fps: the first is the rate that ``stride_frames`` counts at where the sampling is "span".
    """

    def __init__(
        self,
        rows: Sequence[Row],
        frames: int = 16,
        stride_frames: int = 4,
        size: int = 224,
        sampling: str = "dense",
        clips: int = 1,
        crops: int = 1,
        seed: int = 0,
        refuse_corrupt: bool = False,
        anchors: Sequence[Path] = (),
        fps: Sequence[float] = (FPS,),
    ):
        super().__init__(anchors)
        self.fps = tuple(fps)
        self.rows = rows
        self.frames, self.stride_frames, self.size, self.sampling = frames, stride_frames, size, sampling
        self.clips, self.crops, self.seed, self.refuse_corrupt = clips, crops, seed, refuse_corrupt

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: tuple[int, ...] | int) -> list[Item]:
        """The views of a row; of an unreadable video one item that holds nothing but "bad"."""
        index = place[0] if isinstance(place, tuple) else place
        row = self.rows[index]
        told: dict[str, Any] = {"path": str(row.path), "index": index}
        try:
            clips, made_up = self._read(row)
        except (VideoError, IndexError, OSError) as error:
            self.check_there(row.path)
            return [{"bad": [{**told, "reason": str(error), "replacement": "nothing"}]}]
        shared = {"index": index, "label": row.label, "key": sample_key(self.seed, 0, hash_text(row.id))}
        views = [crop_view(clip, self.size, crop, self.crops) for clip in clips for crop in range(self.crops)]
        items: list[Item] = [{**shared, "view": view, "video": video} for view, video in enumerate(views)]
        if made_up:
            items[0]["bad"] = [{**told, "reason": made_up, "replacement": None}]
        return items

    def ids(self, total: int, stride_frames: int | None = None, rate: float = 30.0) -> np.ndarray:
        """Frames of all clips of a video with so many, ``rate`` of them a second: int64 (clips, frames)."""
        stride = stride_frames or self.stride_frames
        if self.sampling == "span":
            span = clip_span(self.frames, stride, rate, self.fps[0])
            starts = [span_view_start(total, span, clip, self.clips) for clip in range(self.clips)]
            ids = [span_ids(total, self.frames, span, start) for start in starts]
        elif self.sampling in ("uniform", "sparse"):
            ids = [segment_view_ids(total, self.frames, clip, self.clips) for clip in range(self.clips)]
        else:
            ids = [dense_view_ids(total, self.frames, stride, clip, self.clips) for clip in range(self.clips)]
        return np.stack(ids)

    def _read(self, row: Row) -> tuple[list[np.ndarray], str | None]:
        info = probe_heard(row.path)
        first, total = segment_of(row, info)
        rate = rate_of(row, info) if self.sampling == "span" else 30.0
        ids = first + self.ids(total, row.stride_frames, rate)
        frames, made_up = read_heard(row.path, ids.ravel(), self.size, self.refuse_corrupt)
        return np.split(frames, self.clips), made_up


def collate_views(samples: Sequence[list[Item]]) -> dict[str, Any]:
    """One batch of the views of several videos; unreadable ones are left out and told under "bad"."""
    if "gone" in samples[0][0]:
        return samples[0][0]
    bad = [entry for sample in samples for item in sample for entry in item.pop("bad", ())]
    readable = [sample for sample in samples if sample[0]]
    batch = collate(readable) if readable else {}
    return {**batch, "bad": bad} if bad else batch
