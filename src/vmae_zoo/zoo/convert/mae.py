"""The layout of the official MAE program (facebookresearch/mae): images, with or without the decoder.

Its files hold the fixed positions, which this package computes: they are compared and dropped. Its patch embedding is a
2-D convolution, here one over cubes of one frame.
"""

from math import isqrt
from typing import Any

import torch
from torch import Tensor

from vmae_zoo.models.positions import sincos_2d
from vmae_zoo.zoo.convert import timm_vit
from vmae_zoo.zoo.convert.prefixes import inverted, rename_prefixes
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec, decoder_shape, depth_of, encoder_shape, size_name

RENAMES = (
    ("cls_token", "encoder.cls_token"),
    ("patch_embed.", "encoder.patch_embed."),
    ("blocks.", "encoder.blocks."),
    ("norm.", "encoder.norm."),
    ("decoder_embed.", "encoder_to_decoder."),
    ("decoder_blocks.", "decoder.blocks."),
    ("decoder_norm.", "decoder.norm."),
    ("decoder_pred.", "decoder.head."),
)
TABLES = ("pos_embed", "decoder_pos_embed")


def matches(tensors: dict[str, Tensor]) -> bool:
    """An image transformer with MAE's decoder, or with the computed positions."""
    if not {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.bias"} <= tensors.keys():
        return False
    computed = "decoder_pos_embed" in tensors or _is_computed(tensors["pos_embed"])
    return tensors["patch_embed.proj.weight"].ndim == 4 and computed


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """A pre-training file, or the encoder of one; with ``frames`` above 1 the encoder is inflated to clips."""
    if (hints.frames or 1) > 1:
        return timm_vit.read({n: v for n, v in tensors.items() if "decoder" not in n and n != "mask_token"}, hints)
    shape = encoder_shape(tensors, hints)
    hparams = {
        "size": size_name(shape["width"], shape["depth"], decoder="mae"),
        "image_size": hints.image_size or isqrt(tensors["pos_embed"].shape[1] - 1) * shape["patch"],
        **shape,
    }
    if "decoder_embed.weight" in tensors:
        decoder_width, decoder_depth = len(tensors["decoder_embed.weight"]), depth_of(tensors, "decoder_blocks.")
        hparams |= decoder_shape(decoder_width, decoder_depth, hints, "mae")
    for table in set(TABLES) & tensors.keys():
        if not _is_computed(tensors[table]):
            raise ValueError(
                f"{hints.where}: {table} is not the table that MAE computes: these weights are of another model"
            )
    weights = {name: value for name, value in tensors.items() if name not in TABLES}
    weights["patch_embed.proj.weight"] = weights["patch_embed.proj.weight"][:, :, None]
    return ModelSpec("MAE", hparams, rename_prefixes(weights, RENAMES))


def write(model: Any) -> dict[str, Tensor]:
    """The weights of an MAE under the official names."""
    weights = rename_prefixes(dict(model.state_dict()), inverted(RENAMES))
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
