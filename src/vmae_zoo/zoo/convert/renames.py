"""Renaming weights by a table of name beginnings, in both directions."""

from collections.abc import Iterable

import torch
from torch import Tensor

Pairs = Iterable[tuple[str, str]]


def renamed(tensors: dict[str, Tensor], pairs: Pairs) -> dict[str, Tensor]:
    """Replace the beginning of each name by the first pair (old, new) that fits; names that none fits stay."""
    pairs = list(pairs)

    def new_name(name: str) -> str:
        return next((new + name[len(old) :] for old, new in pairs if name.startswith(old)), name)

    return {new_name(name): value for name, value in tensors.items()}


def turned(pairs: Pairs) -> Pairs:
    """The table for the way back."""
    return [(new, old) for old, new in pairs]


def joined_qkv(tensors: dict[str, Tensor], parts: tuple[str, str, str], whole: str = "qkv") -> dict[str, Tensor]:
    """Stack separate query, key and value maps: ``attn.q.weight`` and its like become ``attn.qkv.weight``.

    Args:
        tensors: weights by name.
        parts: what stands for "qkv" in the three names, for example ("q", "k", "v").
        whole: what replaces it.
    """
    query, key, value = (f".{part}." for part in parts)
    result = dict(tensors)
    for name in tensors:
        trio = [name.replace(query, part) for part in (query, key, value)]
        if query in name and all(part in tensors for part in trio):
            joined = torch.cat([result.pop(part) for part in trio])
            result[name.replace(query, f".{whole}.")] = joined
    return result


def split_qkv(tensors: dict[str, Tensor], parts: tuple[str, str, str], whole: str = "qkv") -> dict[str, Tensor]:
    """The way back from `joined_qkv`."""
    result = {}
    for name, tensor in tensors.items():
        if f".{whole}." in name:
            for part, piece in zip(parts, tensor.chunk(3), strict=True):
                result[name.replace(f".{whole}.", f".{part}.")] = piece.clone()
        else:
            result[name] = tensor
    return result
