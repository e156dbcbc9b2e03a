"""A batch of given video files, as a method reads them in evaluation: the middle clip, cropped to the centre."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmae_zoo.data.dataset import ClipDataset, collate
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.methods.base import Method


def read_batch(method: Method, videos: Sequence[Path], seed: int = 0) -> dict[str, Any]:
    """Read one clip of each video.

    Args:
        method: says frames, stride and size, and what else it wants of a clip.
        videos: files; a file's name and the seed decide its mask.
        seed: another one gives other masks.

    Returns:
        A batch as from the data module, on the method's device.

    Raises:
        ValueError: a file is not there, or not a video.
    """
    for video in videos:
        if not video.is_file():
            raise ValueError(f"--video {video}: there is no such file")
    dataset = ClipDataset(
        [ClipRecord(video.name, video, -1, "test") for video in videos],
        method.encoder.preprocessing.clip,
        request=method.clip_request,
        train=False,
        seed=seed,
    )
    batch = collate([dataset[place] for place in range(len(videos))])
    if batch.get("bad"):
        raise ValueError(batch["bad"][0]["reason"])
    device = next(method.parameters()).device
    return {name: values.to(device) for name, values in batch.items()}
