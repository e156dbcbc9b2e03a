"""Pictures: what is hidden, and what a method makes of it."""

from vmae_zoo.viz.masks import show_split
from vmae_zoo.viz.reconstruction import Reconstruction, reconstruct, reconstructs

__all__ = ["Reconstruction", "reconstruct", "reconstructs", "show_split"]
