"""Renaming of weights by prefix, in both directions, and joining of query, key and value maps."""

from collections.abc import Iterable

import torch
from torch import Tensor

Pairs = Iterable[tuple[str, str]]

TIMM_NAMES = (  # (theirs, ours): timm, and the programs derived from it: MAE, space-time MAE, TimeSformer
    ("cls_token", "encoder.cls_token"),
    ("pos_embed_", "encoder.positions.pos_embed_"),
    ("patch_embed.", "encoder.patch_embed."),
    ("blocks.", "encoder.blocks."),
    ("norm.", "encoder.norm."),
    ("fc_norm.", "encoder.fc_norm."),
    ("decoder_embed.", "encoder_to_decoder."),
    ("decoder_pos_embed_", "decoder.positions.pos_embed_"),
    ("decoder_blocks.", "decoder.blocks."),
    ("decoder_norm.", "decoder.norm."),
    ("decoder_pred.", "decoder.head."),
)


def rename_prefixes(tensors: dict[str, Tensor], pairs: Pairs) -> dict[str, Tensor]:
    """Replace the prefix of each name by the first pair (old, new) that matches; other names are kept."""
    pairs = list(pairs)

    def new_name(name: str) -> str:
        return next((new + name[len(old) :] for old, new in pairs if name.startswith(old)), name)

    return {new_name(name): value for name, value in tensors.items()}


def inverted(pairs: Pairs) -> Pairs:
    """The pairs of the reverse direction."""
    return [(new, old) for old, new in pairs]


def join_qkv(tensors: dict[str, Tensor], parts: tuple[str, str, str]) -> dict[str, Tensor]:
    """Concatenate separate query, key and value maps.

    With parts ("q", "k", "v"), ``attn.q.weight``, ``attn.k.weight`` and ``attn.v.weight`` become ``attn.qkv.weight``.
    """
    query, key, value = (f".{part}." for part in parts)
    result = dict(tensors)
    for name in tensors:
        trio = [name.replace(query, part) for part in (query, key, value)]
        if query in name and all(part in tensors for part in trio):
            result[name.replace(query, ".qkv.")] = torch.cat([result.pop(part) for part in trio])
    return result


def split_qkv(tensors: dict[str, Tensor], parts: tuple[str, str, str]) -> dict[str, Tensor]:
    """The inverse of `join_qkv`."""
    result = {}
    for name, tensor in tensors.items():
        if ".qkv." in name:
            for part, piece in zip(parts, tensor.chunk(3), strict=True):
                result[name.replace(".qkv.", f".{part}.")] = piece.clone()
        else:
            result[name] = tensor
    return result
