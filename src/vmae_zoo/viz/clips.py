"""A batch of video files, read as a method reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmae_zoo.data.clip_spec import Augmentation
from vmae_zoo.data.dataset import ClipDataset, collate
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.methods.base import Method


def read_batch(
    method: Method, videos: Sequence[Path], seed: int = 0, augmentation: Augmentation | None = None
) -> dict[str, Any]:
    """One clip of each video: the middle one, cropped to the center; with an augmentation, as training reads it.

    The random choices and the mask of a video depend on its name and the seed.

    Returns:
        A batch as from the data module, on the method's device.

    Raises:
        ValueError: a file is missing or is not a video.
    """
    dataset = ClipDataset(
        [ClipRecord(video.name, str(video), -1, "test") for video in videos],
        method.encoder.preprocessing.clip,
        augmentation or Augmentation(),
        method.clip_request,
        train=augmentation is not None,
        seed=seed,
    )
    batch = collate([dataset[index] for index in range(len(videos))])
    if batch.get("bad"):
        raise ValueError(batch["bad"][0]["reason"])
    device = next(method.parameters()).device
    return {name: values.to(device) for name, values in batch.items()}
