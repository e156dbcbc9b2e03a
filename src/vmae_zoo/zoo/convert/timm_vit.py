"""The layout of timm's image transformers (``vit_*_patch16_*`` with a class token), and of MAEs fine-tuned on images.

Read as an image encoder (clips of one frame), or inflated to clips: with ``frames`` above 1 the patch embedding is
repeated over the two frames of a cube and halved, and every time slice has the image's positions, so that each slice of
a clip that stands still is embedded as the image is (Carreira, Zisserman, CVPR 2017, arXiv 1705.07750).
"""

from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.zoo.convert.renames import renamed, turned
from vmae_zoo.zoo.convert.spec import (
    LoadHints,
    ModelSpec,
    classes_of,
    depth_of,
    embedding_of,
    heads_of,
    mlp_ratio_of,
    size_name,
)

NAME = "timm"

RENAMES = (
    ("cls_token", "encoder.cls_token"),
    ("patch_embed.", "encoder.patch_embed."),
    ("blocks.", "encoder.blocks."),
    ("norm.", "encoder.norm."),
    ("fc_norm.", "encoder.fc_norm."),
    ("pos_embed_", "encoder.positions.pos_embed_"),
)


def recognises(tensors: dict[str, Tensor]) -> bool:
    """A class token, learnt positions, patches of images."""
    wanted = {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.bias"}
    return wanted <= tensors.keys() and tensors["patch_embed.proj.weight"].ndim == 4


def read(tensors: dict[str, Tensor], told: LoadHints) -> ModelSpec:
    """An encoder, with its head where the file has one."""
    table_1ND = tensors["pos_embed"]
    hparams, weights = image_encoder(tensors, told, slices_positions=torch.zeros_like(table_1ND[:, :1]))
    hparams |= {"pool": "mean" if "fc_norm.weight" in tensors else "cls", **classes_of(tensors)}
    return ModelSpec("Classifier", hparams, renamed(weights, RENAMES))


def image_encoder(
    tensors: dict[str, Tensor], told: LoadHints, slices_positions: Tensor, cube_frames: int | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and weights of a video encoder made of an image encoder.

    Args:
        tensors: the image encoder, by timm's names.
        told: frames above 1 ask for a clip.
        slices_positions: (1, 1 or time slices, D), what is added to the positions of each slice.
        cube_frames: of the video encoder; None: 2 for clips, 1 for images.
    """
    width, patch = embedding_of(tensors, "patch_embed.proj.weight", told)
    frames = told.frames or 1
    cube_frames = cube_frames or min(frames, 2)
    table_1ND = tensors["pos_embed"]
    depth = depth_of(tensors, "blocks.")
    hparams = {
        "size": size_name(width, depth),
        "frames": frames,
        "image_size": told.image_size or isqrt(table_1ND.shape[1] - 1) * patch,
        "position": "separable",
        "bias": "qkv",
        "cls_token": True,
        "width": width,
        "depth": depth,
        "num_heads": heads_of(width, told),
        "mlp_ratio": mlp_ratio_of(width, len(tensors["blocks.0.mlp.fc1.weight"])),
        "patch": patch,
        "cube_frames": cube_frames,
    }
    kernel = tensors["patch_embed.proj.weight"][:, :, None]
    weights = {name: value for name, value in tensors.items() if name != "pos_embed"} | {
        "patch_embed.proj.weight": kernel.expand(-1, -1, cube_frames, -1, -1) / cube_frames,
        "pos_embed_class": table_1ND[:, :1],
        "pos_embed_spatial": table_1ND[:, 1:],
        "pos_embed_temporal": slices_positions.expand(-1, frames // cube_frames, -1),
    }
    return hparams, weights


def write(model: nn.Module) -> dict[str, Tensor]:
    """The weights of an image classifier (clips of one frame) under timm's names."""
    weights = renamed(dict(model.state_dict()), turned(RENAMES))
    kernel = weights["patch_embed.proj.weight"]
    places, slices = weights.pop("pos_embed_spatial"), weights.pop("pos_embed_temporal")
    if kernel.shape[2] != 1 or slices.shape[1] != 1:
        raise ValueError("timm's transformers take images: only an encoder of one frame can be written for it")
    table = torch.cat([weights.pop("pos_embed_class"), places + slices], dim=1)
    return weights | {"patch_embed.proj.weight": kernel[:, :, 0].clone(), "pos_embed": table}
