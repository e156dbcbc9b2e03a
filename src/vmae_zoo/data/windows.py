"""Windows that cover videos of any length, as a stream that fills batches across videos."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from vmae_zoo.data.clip_frames import SegmentFrames
from vmae_zoo.data.clip_spec import ClipSpec
from vmae_zoo.data.sampling import span_ids
from vmae_zoo.data.transforms import center_crop
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.video.decode import VideoError, probe, read_clip


class Window(NamedTuple):
    """A window of a video, or the reason why its video cannot be read.

    ``video`` is its index, ``windows`` the number of windows of the video, ``start`` the first frame of this one;
    ``clip`` is uint8 (C, T, H, W), or the reason.
    """

    video: int
    windows: int
    start: int
    clip: Tensor | str


class Windows(Dataset):
    """Every window of one video, each ``hop`` frames of the video after the one before; None: they do not overlap."""

    def __init__(self, record: ClipRecord, clip: ClipSpec, hop: int | None = None):
        self.record, self.size = record, clip.size
        segment = SegmentFrames(record, probe(record.path), clip)
        stride = clip.stride_frames * segment.rate / clip.fps[0]
        offsets = window_offsets(clip, stride)
        hop = max(round(clip.frames * stride), 1) if hop is None else hop
        starts = window_starts(segment.total, int(offsets[-1]) + 1, hop)
        ids = segment.frames(np.minimum(np.add.outer(starts, offsets), segment.total - 1))
        self.starts: list[int] = (ids[:, 0] - segment.first).tolist()
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 (C, T, H, W)."""
        clip = read_clip(self.record.path, self.ids[index], self.size)
        return torch.from_numpy(center_crop(clip, self.size)).permute(3, 0, 1, 2)


def window_offsets(clip: ClipSpec, stride: float) -> np.ndarray:
    """Frames of a window relative to its start: every ``stride``-th one, or as `span_ids` if sampled by time."""
    if clip.sampling != "span":
        return clip.stride_frames * np.arange(clip.frames)
    span = max(clip.frames * stride, 1.0)
    return span_ids(math.ceil(span), clip.frames, span, 0)


def window_starts(total: int, length: int, hop: int) -> list[int]:
    """First frames of the windows: every ``hop`` frames while a window fits, and one that ends with the video.

    A video shorter than a window has one window, which repeats the last frame.
    """
    if hop < 1:
        raise ValueError(f"hop = {hop} frames: must be >= 1")
    last = max(total - length, 0)
    starts = list(range(0, last + 1, hop))
    return starts if starts[-1] == last else [*starts, last]


class WindowStream(IterableDataset):
    """The windows of some videos, one video after the other; each data worker reads its share of the videos."""

    def __init__(self, records: Sequence[ClipRecord], clip: ClipSpec, hop: int | None):
        self.records, self.clip, self.hop = records, clip, hop

    def __iter__(self) -> Iterator[Window]:
        """If a video cannot be read, its last item holds the reason."""
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for video in range(first, len(self.records), step):
            try:
                windows = Windows(self.records[video], self.clip, self.hop)
                for index, start in enumerate(windows.starts):
                    yield Window(video, len(windows), start, windows[index])
            except (VideoError, IndexError, OSError) as error:
                yield Window(video, 0, 0, str(error))


def collate_windows(windows: Sequence[Window]) -> dict[str, Any]:
    """A batch: "video" (B, C, T, H, W), if any was read; "windows", where each is from; "bad": (video, reason)."""
    clips = [window.clip for window in windows if isinstance(window.clip, Tensor)]
    batch: dict[str, Any] = {
        "windows": [window[:3] for window in windows if isinstance(window.clip, Tensor)],
        "bad": [(window.video, window.clip) for window in windows if isinstance(window.clip, str)],
    }
    return {**batch, "video": torch.stack(clips)} if clips else batch
