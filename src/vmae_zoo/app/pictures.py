"""What the page shows of a video, by the functions of the commands `masks`, `reconstruct` and `features`."""

import base64
import io
import math
from dataclasses import replace
from functools import lru_cache
from html import escape
from inspect import signature
from pathlib import Path
from typing import Any

from vmae_zoo.data.input_clip import input_clip
from vmae_zoo.methods.base import Method
from vmae_zoo.methods.masked import MaskedMethod
from vmae_zoo.methods.registry import METHODS, resolve_method
from vmae_zoo.methods.videomae import VideoMAE
from vmae_zoo.viz.clips import read_batch
from vmae_zoo.viz.features import show_features
from vmae_zoo.viz.method_masks import draw_method
from vmae_zoo.viz.picture import FRAMES_PER_SECOND, Panel, moving_pictures
from vmae_zoo.viz.reconstruction import panels, reconstruct, reconstructs
from vmae_zoo.zoo import load_pretrained

METHOD_NAMES = {entry.class_name: name for name, entry in METHODS.items() if name != "classifier"}
SIDE = 192  # pixels of a frame on the page


@lru_cache(maxsize=4)
def load(source: str) -> Method:
    """The whole method of a checkpoint."""
    model = load_pretrained(source, task="pretrain")
    assert isinstance(model, Method)
    return model


@lru_cache(maxsize=64)
def masking_method(name: str, ratio: float, source: str) -> Method:
    """A small method that draws masks: on the grid of the checkpoint if that decodes them, else of 224 pixels."""
    method_class, trained = resolve_method(name), load(source)
    settings: dict[str, Any] = {"size": "tiny", "depth": 1, "width": 96, "num_heads": 2, "image_size": 224}
    if decodes(trained, method_class):
        frames, side, _ = trained.grid.pixels
        stride = trained.preprocessing.stride_frames
        settings |= {"frames": frames, "image_size": side, "patch": trained.grid.cube[1], "stride_frames": stride}
    if takes_ratio(name):
        settings["mask_ratio"] = ratio
    return method_class(**settings).eval()


def decodes(trained: Method, method_class: type[Method]) -> bool:
    """Whether the checkpoint reconstructs clips under the masks of a method: its own, or those of VideoMAE's family."""
    family = isinstance(trained, VideoMAE) and issubclass(method_class, VideoMAE)
    return reconstructs(trained) and (family or isinstance(trained, method_class))


@lru_cache
def takes_ratio(name: str) -> bool:
    """Whether a method has a mask ratio."""
    return any("mask_ratio" in signature(each).parameters for each in resolve_method(name).__mro__[:-1])


def trained_ratio(method: Method) -> float:
    """The mask ratio that a checkpoint was trained with; that of VideoMAE if it has none."""
    return float(method.hparams.get("mask_ratio", 0.9))


def draw_masks(video: Path, name: str, ratio: float, seed: int, source: str) -> list[Panel]:
    """What the encoder of a method sees of a video; for MoCo v3 its two views."""
    return draw_method(masking_method(name, ratio, source), video, seed)[0]


def draw_reconstruction(video: Path, name: str, ratio: float, seed: int, source: str) -> list[Panel]:
    """What a checkpoint makes of the parts that a method hides; ``ValueError`` if it cannot."""
    trained, method = load(source), masking_method(name, ratio, source)
    if not decodes(trained, type(method)):
        kind = type(trained).__name__
        raise ValueError(f"This checkpoint is a {kind}, which does not reconstruct the masks of {name}.")
    assert isinstance(method, MaskedMethod)
    batch = read_batch(method, [video], seed)
    result = reconstruct(trained, batch, method.sample_mask(batch))
    return panels(result, result.clip.shape[2])


def draw_features(video: Path, source: str) -> list[Panel]:
    """The tokens of a checkpoint's encoder as colors, and its attention."""
    encoder = load(source).encoder_for_evaluation()
    frames = input_clip(video, encoder.preprocessing.clip)
    return [show_features(encoder, encoder.preprocess(frames), frames)]


def in_lines(panel: Panel, most: int = 3) -> list[Panel]:
    """A panel as several with at most so many rows each, so that a narrow screen shows them large enough."""
    rows = list(panel.rows.items())
    width = math.ceil(len(rows) / math.ceil(len(rows) / most))
    return [replace(panel, rows=dict(rows[start : start + width])) for start in range(0, len(rows), width)]


def as_html(found: list[Panel]) -> str:
    """Panels as one moving picture inside of the page, with their notes below: no file is written."""
    pictures, data = moving_pictures([part for panel in found for part in in_lines(panel)], SIDE), io.BytesIO()
    duration = round(1000 / FRAMES_PER_SECOND)
    pictures[0].save(
        data, "WEBP", save_all=True, append_images=pictures[1:], duration=duration, loop=0, quality=85, method=2
    )
    notes = [f"{panel.title}: {panel.note}" if panel.title else panel.note for panel in found]
    rows = ", ".join(label for panel in found for label in panel.rows)
    source = f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
    image = f'<img src="{source}" alt="{escape(rows)}" style="max-width:100%;height:auto">'
    return image + "".join(f"<p>{escape(note)}</p>" for note in notes)
