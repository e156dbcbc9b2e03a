"""Videos of any length by windows: which frames, and a stream of them all that fills batches across videos."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from vmae_zoo.data.dataset import rate_of, segment_of
from vmae_zoo.data.sampling import span_ids
from vmae_zoo.data.transforms import centre_crop
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.models.preprocessing import Preprocessing
from vmae_zoo.video.decode import VideoError, probe, read_clip

Piece = tuple[int, int, int, Tensor | str]  # place of the video, its windows, this one's first frame, clip or a reason


class Windows(Dataset):
    """Every window of one video, in order.

    Args:
        record: the video.
        settings: frames, their distance and the side of the centre crop.
        hop: frames of the video from one window's start to the next; None: windows lie end to end.
    """

    def __init__(self, record: ClipRecord, settings: Preprocessing, hop: int | None = None):
        self.record, self.settings = record, settings
        info = probe(record.path)
        self.first, self.total = segment_of(record, info)
        stride: float = settings.stride_frames
        if settings.sampling == "span":
            stride *= rate_of(record, info) / settings.fps
        self.within = window_ids(settings, stride)
        self.starts = window_starts(self.total, int(self.within[-1]) + 1, hop or round(settings.frames * stride) or 1)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, window: int) -> torch.Tensor:
        """uint8 (C, T, H, W)."""
        settings = self.settings
        ids = self.starts[window] + self.within
        clip = read_clip(self.record.path, self.first + np.minimum(ids, self.total - 1), settings.size)
        return torch.from_numpy(centre_crop(clip, settings.size)).permute(3, 0, 1, 2)


def window_ids(settings: Preprocessing, stride: float) -> np.ndarray:
    """Frames of a window, counted from its start: every ``stride``-th; by time, spread as `span_ids` spreads them."""
    if settings.sampling != "span":
        return settings.stride_frames * np.arange(settings.frames)
    span = max(settings.frames * stride, 1.0)
    return span_ids(math.ceil(span), settings.frames, span, 0)


def window_starts(total: int, length: int, hop: int) -> list[int]:
    """First frames of the windows: every ``hop`` frames while a window fits, and one that ends with the video.

    A video shorter than a window has one, whose last frame is repeated.
    """
    if hop < 1:
        raise ValueError(f"the hop from window to window is {hop} frames: it counts from 1")
    last = max(total - length, 0)
    starts = list(range(0, last + 1, hop))
    return starts if starts[-1] == last else [*starts, last]


class WindowStream(IterableDataset):
    """The windows of some videos, one video after the other; of several workers each reads its share of the videos.

    Args:
        records: the videos.
        settings: as of `Windows`.
        hop: as of `Windows`.
    """

    def __init__(self, records: Sequence[ClipRecord], settings: Preprocessing, hop: int | None):
        self.records, self.settings, self.hop = records, settings, hop

    def __iter__(self) -> Iterator[Piece]:
        """A clip is uint8 (C, T, H, W); of a video that cannot be read, the last piece is the reason."""
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for place in range(first, len(self.records), step):
            try:
                windows = Windows(self.records[place], self.settings, self.hop)
                for number, start in enumerate(windows.starts):
                    yield place, len(windows), start, windows[number]
            except (VideoError, IndexError, OSError) as error:
                yield place, 0, 0, str(error)


def collate_windows(pieces: Sequence[Piece]) -> dict[str, Any]:
    """Clips as "video" (B, C, T, H, W), "of" which (place, windows, first frame) each is; "bad": (place, reason)."""
    clips = [piece[3] for piece in pieces if isinstance(piece[3], Tensor)]
    batch: dict[str, Any] = {
        "of": [piece[:3] for piece in pieces if isinstance(piece[3], Tensor)],
        "bad": [(piece[0], piece[3]) for piece in pieces if isinstance(piece[3], str)],
    }
    return {**batch, "video": torch.stack(clips)} if clips else batch
