"""The zoo: weights by name, path or address, and what is known about each."""

from vmae_zoo.zoo.init_from import start_from
from vmae_zoo.zoo.load import load_pretrained
from vmae_zoo.zoo.push import push
from vmae_zoo.zoo.registry import list_pretrained

__all__ = ["list_pretrained", "load_pretrained", "push", "start_from"]
