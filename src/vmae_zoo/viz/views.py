"""The two views of a video that a contrastive method compares."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vmae_zoo.data.clip_spec import Augmentation
from vmae_zoo.data.dataset import ClipDataset, collate
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.methods.moco_v3 import MoCoV3
from vmae_zoo.viz.picture import Panel


def read_views(method: MoCoV3, augmentation: Augmentation, video: Path, seed: int = 0) -> dict[str, Any]:
    """A batch of the two training views of a video; starts, crops and colors depend on its name and the seed.

    Raises:
        ValueError: the file is not a video.
    """
    dataset = ClipDataset(
        [ClipRecord(video.name, str(video), -1, "train")],
        method.encoder.preprocessing.clip,
        augmentation,
        method.clip_request,
        seed=seed,
    )
    batch = collate([dataset[0]])
    if batch.get("bad"):
        raise ValueError(batch["bad"][0]["reason"])
    return batch


@torch.no_grad()
def show_views(method: MoCoV3, batch: dict[str, Any]) -> Panel:
    """A panel of all frames: each view as cropped, and after color augmentation."""
    rows: dict[str, np.ndarray] = {}
    cropped = (batch["video"], batch["other"])
    for name, crops, view in zip(("first view", "second view"), cropped, method.prepare_inputs(batch), strict=True):
        pixels = method.encoder.normalizer.pixels(view, channel_dim=1).clamp(0, 1)
        for label, clip in ((name, crops[0]), ("augmented", (255 * pixels[0]).round().byte())):
            rows[label if label not in rows else label + " "] = clip.permute(1, 2, 3, 0).numpy()
    same = "two crops of one clip" if method.clip_request.same_clip else "two clips of one video"
    return Panel(
        type(method).__name__,
        rows,
        f"{same}, each with its own color augmentation",
    )
