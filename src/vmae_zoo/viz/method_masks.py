"""What a method sees of a video file: its masks; for MoCo v3, which has none, its two views."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vmae_zoo.data.clip_spec import Augmentation
from vmae_zoo.methods.base import Method
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.methods.moco_v3 import MoCoV3
from vmae_zoo.viz.clips import read_batch
from vmae_zoo.viz.masks import show_masks, token_ids
from vmae_zoo.viz.picture import Panel

RANDOM_CROPS = Augmentation(crop="random_resized")


def draw_method(
    method: Method, video: Path, seed: int = 0, augmentation: Augmentation = RANDOM_CROPS
) -> tuple[list[Panel], dict[str, Any]]:
    """Panels over the middle clip of a video, and token ids as lists; ``ValueError`` for a method without masks."""
    if isinstance(method, MoCoV3):
        return [show_views(method, read_batch(method, [video], seed, augmentation))], {}
    if not isinstance(method, MaskedMethod):
        raise ValueError(f"{type(method).__name__} is not a masked method: it has no masks to draw")
    batch = read_batch(method, [video], seed)
    masks = method.sample_mask(batch)
    return show_masks(method, masks, batch["video"][0].permute(1, 2, 3, 0).cpu().numpy()), token_ids(masks)


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
