"""Weights of other programs: one module per layout, which recognizes, reads and writes it.

A layout is a module with ``matches(tensors)`` and ``read(tensors, hints)``, and ``write(model)`` if it can be written.
Importing this package imports none of them, nor torch.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LAYOUTS = {  # in the order in which they are tried
    "videomae": "vmae_zoo.zoo.convert.videomae",
    "transformers": "vmae_zoo.zoo.convert.hugging_face",
    "vjepa": "vmae_zoo.zoo.convert.jepa",
    "mae_st": "vmae_zoo.zoo.convert.mae_st",
    "timesformer": "vmae_zoo.zoo.convert.timesformer",
    "mae": "vmae_zoo.zoo.convert.mae",
    "timm": "vmae_zoo.zoo.convert.timm_vit",
}


def layout(name: str) -> ModuleType:
    """The module of a layout."""
    return import_module(LAYOUTS[name])


def find_layout(tensors: "dict[str, Tensor]", where: str) -> str:
    """The name of the layout that these weights have; ``ValueError`` if no layout matches."""
    for name in LAYOUTS:
        if layout(name).matches(tensors):
            return name
    raise ValueError(
        f"{where} holds weights of an unknown architecture ({', '.join(list(tensors)[:3])}, ...): "
        f"known layouts are {', '.join(LAYOUTS)}"
    )
