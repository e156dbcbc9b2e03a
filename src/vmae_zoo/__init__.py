"""Self-supervised video pre-training: methods, clips, evaluation and a zoo of weights."""

from vmae_zoo.lazy_imports import lazy_exports
from vmae_zoo.methods.registry import CLASS_NAMES

__version__ = "0.1.0"

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "vmae_zoo.zoo.load": ("load_pretrained",),
        "vmae_zoo.zoo.registry": ("list_pretrained",),
        "vmae_zoo.zoo.upload": ("push",),
        "vmae_zoo.methods": tuple(CLASS_NAMES),
    },
)
