"""`torch.compile` for static shapes, of functions outside of modules."""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

from vmae_zoo.randomness import hash_text

RECOMPILE_LIMIT = 64  # compiled programs of a block: one per sequence length and gradient mode (9 in V-JEPA)
Result = TypeVar("Result")


@cache
def compiled(function: Callable[..., Result]) -> Callable[..., Result]:
    """The function compiled for static shapes."""
    torch.compiler.assume_constant_result(hash_text)  # here: at import this would import the compiler
    return torch.compile(function, dynamic=False)
