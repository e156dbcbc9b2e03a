"""The zoo: weights by name, path or address, and what is known about each."""

from vmae_zoo.zoo.load import load_pretrained
from vmae_zoo.zoo.publish import push
from vmae_zoo.zoo.registry import list_pretrained
from vmae_zoo.zoo.start import start_from

__all__ = ["list_pretrained", "load_pretrained", "push", "start_from"]
