"""The layout of the official MAE program (facebookresearch/mae): images, with or without the decoder.

Its fixed positions lie among the weights; here they are computed, so they are compared and dropped. The patch embedding
is a 2-D convolution there and one over cubes of one frame here.
"""

from math import isqrt

import torch
from torch import Tensor, nn

from vmae_zoo.models.positions import sincos_2d
from vmae_zoo.zoo.convert import timm_vit
from vmae_zoo.zoo.convert.renames import renamed, turned
from vmae_zoo.zoo.convert.spec import (
    LoadHints,
    ModelSpec,
    decoder_heads_of,
    depth_of,
    embedding_of,
    heads_of,
    mlp_ratio_of,
    size_name,
)

NAME = "mae"

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
TABLES = {"pos_embed": "encoder", "decoder_pos_embed": "decoder"}


def recognises(tensors: dict[str, Tensor]) -> bool:
    """A vision transformer over images with MAE's decoder, or whose positions are the computed ones."""
    if not {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.bias"} <= tensors.keys():
        return False
    computed = "decoder_pos_embed" in tensors or _is_computed(tensors["pos_embed"])
    return tensors["patch_embed.proj.weight"].ndim == 4 and computed


def read(tensors: dict[str, Tensor], told: LoadHints) -> ModelSpec:
    """A pre-training file, or the encoder of one; with ``frames`` above 1 the encoder inflated to clips."""
    if (told.frames or 1) > 1:
        return timm_vit.read({n: v for n, v in tensors.items() if "decoder" not in n and n != "mask_token"}, told)
    width, patch = embedding_of(tensors, "patch_embed.proj.weight", told)
    depth = depth_of(tensors, "blocks.")
    hparams = {
        "size": size_name(width, depth, decoder="mae"),
        "image_size": told.image_size or isqrt(tensors["pos_embed"].shape[1] - 1) * patch,
        "width": width,
        "depth": depth,
        "num_heads": heads_of(width, told),
        "mlp_ratio": mlp_ratio_of(width, len(tensors["blocks.0.mlp.fc1.weight"])),
        "patch": patch,
    }
    if "decoder_embed.weight" in tensors:
        decoder_width = len(tensors["decoder_embed.weight"])
        hparams |= {
            "decoder_width": decoder_width,
            "decoder_depth": depth_of(tensors, "decoder_blocks."),
            "decoder_num_heads": decoder_heads_of(decoder_width, told, "mae"),
        }
    for table in TABLES.keys() & tensors.keys():
        if not _is_computed(tensors[table]):
            raise ValueError(
                f"{told.where}: {table} is not the table that MAE computes: these weights are another model's"
            )
    weights = {name: value for name, value in tensors.items() if name not in TABLES}
    weights["patch_embed.proj.weight"] = weights["patch_embed.proj.weight"][:, :, None]
    return ModelSpec("MAE", hparams, renamed(weights, RENAMES))


def write(model: nn.Module) -> dict[str, Tensor]:
    """The weights of an MAE under the official names."""
    weights = renamed(dict(model.state_dict()), turned(RENAMES))
    weights["patch_embed.proj.weight"] = weights["patch_embed.proj.weight"][:, :, 0].clone()
    for name, part in TABLES.items():
        table_1ND = getattr(model, part).positions.table
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
