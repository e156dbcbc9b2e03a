"""Pictures of masks and reconstructions."""

from vmae_zoo.lazy_imports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "vmae_zoo.viz.masks": ("show_split",),
        "vmae_zoo.viz.reconstruction": ("Reconstruction", "reconstruct", "reconstructs"),
    },
)
