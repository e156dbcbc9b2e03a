"""One clip of a data set, and its name."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClipRecord:
    """One clip of a data set.

    Args:
        id: path relative to the root with forward slashes, plus the segment; the same on every machine, and the seed of
            the clip's random keys.
        file: the video file.
        label: index of the class; -1 if unknown.
        split: "train", "val" or "test".
        start: start of the segment in seconds; None: start of the video.
        end: end of the segment in seconds; None: end of the video.
        group: source that the clip was cut from, if known: clips of one group are never divided between training and
            model selection.
        stride_frames: distance between frames, if it differs from that of the run.
    """

    id: str
    file: str
    label: int = -1
    split: str = "train"
    start: float | None = None
    end: float | None = None
    group: str = ""
    stride_frames: int | None = None

    @property
    def path(self) -> Path:
        """The video file."""
        return Path(self.file)

    @classmethod
    def below(cls, root: str | Path, file: str | Path, label: int = -1, split: str = "train") -> "ClipRecord":
        """A record of a whole video; its id is the path relative to the root, or the full path if it is elsewhere."""
        file = os.fspath(file)
        return cls(relative_name(root, file), file, label, split)


def clip_id(name: str, start: float | None, end: float | None) -> str:
    """The name of a file, plus its segment in seconds: ``a.mp4#1.5-4``."""
    if start is None and end is None:
        return name
    return f"{name}#{'' if start is None else format(start, 'g')}-{'' if end is None else format(end, 'g')}"


def join(folder: str, name: str) -> str:
    """``str(Path(folder, name))``, without the time that `Path` takes for names that are normal already."""
    if os.sep != "/" or "//" in name or "./" in name or name.endswith(("/", "/.")):
        return str(Path(folder, name))
    return os.path.join(folder, name)


def relative_name(root: str | Path, file: str) -> str:
    """A file's path relative to the root with forward slashes, or its full path if it is elsewhere."""
    return file.removeprefix(os.path.join(root, "")).replace(os.sep, "/")
