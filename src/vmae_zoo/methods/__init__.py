"""The methods: one paper, one file."""

from vmae_zoo.lazy_imports import lazy_exports
from vmae_zoo.methods.registry import METHODS

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "vmae_zoo.methods.base": ("Method",),
        "vmae_zoo.methods.masked": ("MaskedMethod",),
        "vmae_zoo.methods.output": ("Output",),
        "vmae_zoo.methods.registry": ("resolve_method",),
        **{entry.module: (entry.class_name,) for entry in METHODS.values()},
    },
)
