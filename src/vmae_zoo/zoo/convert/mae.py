"""The layout of the official MAE program (facebookresearch/mae): images, with or without the decoder.

Its files hold the fixed positions, which this package computes: they are compared and dropped. Its patch embedding is a
2-D convolution, here one over cubes of one frame.
"""

from math import isqrt
from typing import Any

import torch
from torch import Tensor

from vmae_zoo.models.sincos import sincos_2d
from vmae_zoo.zoo.convert import timm_vit
from vmae_zoo.zoo.convert.prefixes import TIMM_NAMES, inverted, rename_prefixes
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec, decoder_shape, encoder_shape

TABLES = ("pos_embed", "decoder_pos_embed")


def matches(tensors: dict[str, Tensor]) -> bool:
    """An image transformer with MAE's decoder, or with the computed positions."""
    return timm_vit.matches(tensors) and ("decoder_pos_embed" in tensors or _is_computed(tensors["pos_embed"]))


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """A pre-training file, or the encoder of one; with ``frames`` above 1 the encoder is inflated to clips."""
    if (hints.frames or 1) > 1:
        return timm_vit.read({n: v for n, v in tensors.items() if "decoder" not in n and n != "mask_token"}, hints)
    hparams = encoder_shape(tensors, hints, decoder="mae") | decoder_shape(tensors, hints, "mae")
    hparams["image_size"] = hints.image_size or isqrt(tensors["pos_embed"].shape[1] - 1) * hparams["patch"]
    for table in set(TABLES) & tensors.keys():
        if not _is_computed(tensors[table]):
            raise ValueError(
                f"{hints.where}: {table} is not the table that MAE computes: these weights are of another model"
            )
    weights = {name: value for name, value in tensors.items() if name not in TABLES}
    weights["patch_embed.proj.weight"] = weights["patch_embed.proj.weight"][:, :, None]
    return ModelSpec("MAE", hparams, rename_prefixes(weights, TIMM_NAMES))


def write(model: Any) -> dict[str, Tensor]:
    """The weights of an MAE under the official names."""
    weights = rename_prefixes(dict(model.state_dict()), inverted(TIMM_NAMES))
    weights["patch_embed.proj.weight"] = weights["patch_embed.proj.weight"][:, :, 0].clone()
    for name, part in (("pos_embed", model.encoder), ("decoder_pos_embed", model.decoder)):
        table_1ND = part.positions.table
        weights[name] = torch.cat([torch.zeros_like(table_1ND[:, :1]), table_1ND], dim=1)
    return weights


def _is_computed(table_1ND: Tensor) -> bool:
    """Whether this is the fixed table, zero for the class token, of a square image; 16-bit files round it."""
    if table_1ND.ndim != 3 or table_1ND.shape[2] % 4 or not table_1ND.is_floating_point():
        return False
    side = isqrt(table_1ND.shape[1] - 1)
    if side * side != table_1ND.shape[1] - 1 or bool(table_1ND[:, 0].any()):
        return False
    return torch.allclose(table_1ND[0, 1:].float(), sincos_2d(side, side, table_1ND.shape[2]), atol=1e-3)
