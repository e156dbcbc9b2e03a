"""The clip of a video file or of decoded frames, as evaluation reads it: the middle clip, cropped to the center."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np
from av.video.frame import VideoFrame
from torch import Tensor

from vmae_zoo.data.clip_spec import ClipSpec
from vmae_zoo.data.transforms import center_crop
from vmae_zoo.data.views import ViewDataset
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.video.frame_conversion import to_rgb

Source: TypeAlias = str | PathLike[str] | np.ndarray | Tensor


def input_clip(source: Source, clip: ClipSpec) -> np.ndarray:
    """The clip of one source: uint8 (T, S, S, 3).

    Args:
        source: a video file, whose middle clip is read; or the T frames of a clip, uint8 (T, H, W, 3), which are
            resized to S pixels on the shorter side and cropped to the center.
        clip: T frames of S x S pixels.

    Raises:
        ValueError: the file cannot be read, or the frames are of another type or shape.
    """
    if isinstance(source, str | PathLike):
        path = Path(source)
        (view,) = ViewDataset([ClipRecord(path.name, str(path), split="test")], clip)[0]
        if "bad" in view:
            raise ValueError(view["bad"][0]["reason"])
        return view["video"]
    frames_THWC = check_frames(source, clip.frames)
    resized = [to_rgb(VideoFrame.from_ndarray(frame, "rgb24"), clip.size, None) for frame in frames_THWC]
    return center_crop(np.stack(resized), clip.size)


def sources_of(frames: Source | Sequence[Source]) -> tuple[list[Source], bool]:
    """The clips of a batch, and whether it is a batch: a list, or an array of five dimensions."""
    single = frames.ndim != 5 if isinstance(frames, np.ndarray | Tensor) else not isinstance(frames, Sequence)
    if single or isinstance(frames, str | bytes | PathLike):
        return [frames], False  # type: ignore[list-item]
    if not len(frames):
        raise ValueError("frames is empty: give paths, or uint8 arrays of (frames, rows, columns, 3)")
    return list(frames), True


def check_frames(frames: np.ndarray | Tensor, count: int) -> np.ndarray:
    """The frames as a contiguous array, uint8 (count, H, W, 3); ``ValueError`` if they are none."""
    if not isinstance(frames, np.ndarray | Tensor):
        raise ValueError(
            f"frames is a {type(frames).__name__}: give a path, or a uint8 array of (frames, rows, columns, 3)"
        )
    array = frames.detach().cpu().numpy() if isinstance(frames, Tensor) else frames
    shape = tuple(array.shape)
    if array.dtype != np.uint8:
        values = f"with values from {array.min():.4g} to {array.max():.4g}" if array.size else "without values"
        cure = "(255 * frames).round()" if array.size and array.max() <= 1 else "frames"
        raise ValueError(f"frames are {array.dtype} {values}: give pixels as uint8, 0 to 255, such as {cure} in uint8")
    if array.ndim != 4 or shape[-1] != 3 or not array.size:
        cure = "stack the frames of a clip along a first axis" if array.ndim == 3 else "move the channels to the end"
        raise ValueError(f"frames have the shape {shape}: preprocess takes (frames, rows, columns, 3); {cure}")
    if len(array) != count:
        raise ValueError(
            f"{len(array)} frames are given and the model takes clips of {count}: choose {count} of them, such as "
            f"frames[np.linspace(0, {len(array) - 1}, {count}).round().astype(int)], or give the path of the video"
        )
    return np.ascontiguousarray(array)
