"""What frozen features and classifiers are worth: probes, neighbours, features of any videos, export."""

from vmae_zoo.evaluation.features import Features, compute_features

__all__ = ["Features", "compute_features"]
