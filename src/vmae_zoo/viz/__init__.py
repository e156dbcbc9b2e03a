"""Pictures: what is hidden, and what a method makes of it."""

from vmae_zoo.viz.masks import show_split
from vmae_zoo.viz.reconstruction import Reconstruction, can_reconstruct, reconstruct

__all__ = ["Reconstruction", "can_reconstruct", "reconstruct", "show_split"]
