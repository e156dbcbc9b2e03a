"""Renaming of weights by prefix, in both directions."""

from collections.abc import Iterable

import torch
from torch import Tensor

Pairs = Iterable[tuple[str, str]]


def rename_prefixes(tensors: dict[str, Tensor], pairs: Pairs) -> dict[str, Tensor]:
    """Replace the prefix of each name by the first pair (old, new) that matches; other names are kept."""
    pairs = list(pairs)

    def new_name(name: str) -> str:
        return next((new + name[len(old) :] for old, new in pairs if name.startswith(old)), name)

    return {new_name(name): value for name, value in tensors.items()}


def inverted(pairs: Pairs) -> Pairs:
    """The pairs of the reverse direction."""
    return [(new, old) for old, new in pairs]


def join_qkv(tensors: dict[str, Tensor], parts: tuple[str, str, str], joined: str = "qkv") -> dict[str, Tensor]:
    """Concatenate separate query, key and value maps: ``attn.{q,k,v}.weight`` become ``attn.qkv.weight``.

    Args:
        tensors: weights by name.
        parts: names of the three maps, for example ("q", "k", "v").
        joined: name of the concatenated map.
    """
    query, key, value = (f".{part}." for part in parts)
    result = dict(tensors)
    for name in tensors:
        trio = [name.replace(query, part) for part in (query, key, value)]
        if query in name and all(part in tensors for part in trio):
            weight = torch.cat([result.pop(part) for part in trio])
            result[name.replace(query, f".{joined}.")] = weight
    return result


def split_qkv(tensors: dict[str, Tensor], parts: tuple[str, str, str], joined: str = "qkv") -> dict[str, Tensor]:
    """The inverse of `join_qkv`."""
    result = {}
    for name, tensor in tensors.items():
        if f".{joined}." in name:
            for part, piece in zip(parts, tensor.chunk(3), strict=True):
                result[name.replace(f".{joined}.", f".{part}.")] = piece.clone()
        else:
            result[name] = tensor
    return result
