"""The zoo: weights by name, path or address, and what is known about each."""

from vmae_zoo.zoo.load import load_pretrained

__all__ = ["load_pretrained"]
