"""Pictures: what is hidden, and what a method makes of it."""

from vmae_zoo.lazy_imports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "vmae_zoo.viz.masks": ("show_split",),
        "vmae_zoo.viz.reconstruction": ("Reconstruction", "reconstruct", "reconstructs"),
    },
)
