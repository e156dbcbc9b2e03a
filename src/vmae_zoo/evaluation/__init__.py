"""What frozen features and classifiers are worth: probes, neighbours, features of any videos, export."""

from vmae_zoo.lazy_imports import lazy_exports

__getattr__, __all__ = lazy_exports(__name__, {"vmae_zoo.evaluation.features": ("Features", "compute_features")})
