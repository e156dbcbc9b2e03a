"""Masked video pre-training: methods, clips, evaluation and a zoo of weights.

Importing this package imports nothing heavy: each name below is fetched from its room when it is first used (PEP 562).
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "vmae_zoo.zoo": ("load_pretrained", "list_pretrained", "push"),
    "vmae_zoo.methods": ("MAE", "MAEST", "VideoMAE", "VideoMAEv2", "MGMAE", "ARVideo", "MoCoV3", "Classifier"),
}
_HOME = {name: room for room, names in _EXPORTS.items() for name in names}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'vmae_zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
