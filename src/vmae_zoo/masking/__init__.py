"""Masks and orders over the tokens of a clip: pure functions of sample keys."""

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.masking.tube import tube_split

__all__ = ["TokenGrid", "TokenSplit", "tube_split"]
