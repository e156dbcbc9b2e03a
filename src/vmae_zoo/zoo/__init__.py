"""The zoo: weights by name, path or address, and what is known about them."""

from vmae_zoo.lazy_imports import lazy_exports

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pyth")  # of files of weights

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "vmae_zoo.zoo.init_from": ("start_from",),
        "vmae_zoo.zoo.load": ("load_pretrained", "load_untrained"),
        "vmae_zoo.zoo.registry": ("list_pretrained",),
        "vmae_zoo.zoo.upload": ("push",),
    },
)
