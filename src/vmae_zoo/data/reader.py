"""How a data module reads videos: from files, with the help of an index if there is one."""

from pathlib import Path

import numpy as np

from vmae_zoo.video.decode import IndexLookup, VideoInfo, frame_times, probe, read_clip


class VideoReader:
    """Reads video files; picklable, for workers.

    Args:
        lookup: returns what an index stores about a file; see `vmae_zoo.video.decode.IndexLookup`.
    """

    def __init__(self, lookup: IndexLookup | None = None):
        self.lookup = lookup

    def probe(self, path: Path) -> VideoInfo:
        """See `vmae_zoo.video.decode.probe`."""
        return probe(path, self.lookup)

    def frame_times(self, path: Path) -> np.ndarray:
        """See `vmae_zoo.video.decode.frame_times`."""
        return frame_times(path, self.lookup)

    def read_clip(self, path: Path, frame_ids: np.ndarray, short_side: int | None = None) -> np.ndarray:
        """See `vmae_zoo.video.decode.read_clip`."""
        return read_clip(path, frame_ids, short_side, self.lookup)


FILES = VideoReader()
