"""Small videos that stay decoded in memory: from the second epoch on nothing is read or decoded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vmae_zoo.data.reader import VideoReader
from vmae_zoo.datasets.clip_table import ClipTable
from vmae_zoo.datasets.text_column import hashes
from vmae_zoo.video.decode import IndexLookup, VideoError, VideoInfo

LARGEST_VIDEO = 1 << 20  # bytes decoded; larger videos are worth decoding in several processes


class DecodedVideos(VideoReader):
    """Reads each video once and keeps its frames."""

    def __init__(self, lookup: IndexLookup | None = None):
        super().__init__(lookup)
        self._infos: dict[Path, VideoInfo] = {}
        self._videos: dict[tuple[Path, int | None], np.ndarray] = {}

    def probe(self, path: Path) -> VideoInfo:
        """See `vmae_zoo.video.decode.probe`; a file is probed once."""
        if path not in self._infos:
            self._infos[path] = super().probe(path)
        return self._infos[path]

    def read_clip(self, path: Path, frame_ids: np.ndarray, short_side: int | None = None) -> np.ndarray:
        """See `vmae_zoo.video.decode.read_clip`; of a file that is damaged somewhere, only the clip is decoded."""
        kept = self._videos.get((path, short_side))
        if kept is None:
            try:
                kept = super().read_clip(path, np.arange(self.probe(path).frames), short_side)
            except (VideoError, IndexError):
                return super().read_clip(path, frame_ids, short_side)
            self._videos[path, short_side] = kept
        return kept[frame_ids]


def fits_memory(tables: Sequence[ClipTable], megabytes: int, clip_size: int, reader: VideoReader) -> bool:
    """Whether the videos, if all are like the first, are small and take at most so many MB decoded.

    Validation clips are decoded with ``clip_size`` pixels on the shorter side.
    """
    if not tables[0] or not megabytes:
        return False
    try:
        info = reader.probe(tables[0][0].path)
    except (VideoError, OSError):
        return False
    larger = max(clip_size / min(info.height, info.width), 1)
    size = info.frames * info.height * info.width * 3 * larger**2
    if size > LARGEST_VIDEO:
        return False
    videos = np.unique(hashes(file for table in tables for file in table.all_files()))
    return size * len(videos) <= megabytes << 20
