"""A reader that keeps the arguments of what it is asked for."""

from vmae_zoo.data.reader import VideoReader


class RecordingReader(VideoReader):
    def __init__(self):
        super().__init__()
        self.calls = []  # (path, frame ids, short side) of each clip

    def read_clip(self, path, frame_ids, short_side=None):
        self.calls.append((path, frame_ids, short_side))
        return super().read_clip(path, frame_ids, short_side)
