"""Evaluation of frozen features and of classifiers: probes, nearest neighbors, feature extraction, export."""

from vmae_zoo.lazy_imports import lazy_exports

__getattr__, __all__ = lazy_exports(__name__, {"vmae_zoo.evaluation.features": ("Features", "compute_features")})
