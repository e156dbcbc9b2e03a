"""A batch of video files, read as in evaluation: the middle clip, cropped to the center."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmae_zoo.data.dataset import ClipDataset, collate
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.methods.base import Method


def read_batch(method: Method, videos: Sequence[Path], seed: int = 0) -> dict[str, Any]:
    """Read one clip of each video.

    Returns:
        A batch as from the data module, on the method's device.

    Raises:
        ValueError: a file is missing or is not a video.
    """
    dataset = ClipDataset(
        [ClipRecord(video.name, str(video), -1, "test") for video in videos],
        method.encoder.preprocessing.clip,
        request=method.clip_request,
        train=False,
        seed=seed,
    )
    batch = collate([dataset[index] for index in range(len(videos))])
    if batch.get("bad"):
        raise ValueError(batch["bad"][0]["reason"])
    device = next(method.parameters()).device
    return {name: values.to(device) for name, values in batch.items()}
