"""The layout of timm's image transformers (``vit_*_patch16_*`` with a class token), and of MAEs fine-tuned on images.

Read as an image encoder (clips of one frame), or inflated to clips if ``frames`` is above 1: the patch embedding is
repeated over the two frames of a cube and halved, and every time slice has the image's positions, so that each slice of
a clip without motion is embedded as the image is (Carreira, Zisserman, CVPR 2017, arXiv 1705.07750).
"""

from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.zoo.convert.prefixes import TIMM_NAMES, inverted, rename_prefixes
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec, classifier_spec, encoder_shape


def matches(tensors: dict[str, Tensor]) -> bool:
    """A class token, learned positions, patches of images."""
    wanted = {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.bias"}
    return wanted <= tensors.keys() and tensors["patch_embed.proj.weight"].ndim == 4


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """An encoder, with the head if the file has one."""
    table_1ND = tensors["pos_embed"]
    hparams, weights = image_encoder(tensors, hints, slices_positions=torch.zeros_like(table_1ND[:, :1]))
    hparams["pool"] = "mean" if "fc_norm.weight" in tensors else "cls"
    return classifier_spec(hparams, rename_prefixes(weights, TIMM_NAMES))


def image_encoder(
    tensors: dict[str, Tensor], hints: LoadHints, slices_positions: Tensor, cube_frames: int | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and weights of a video encoder made of an image encoder.

    ``slices_positions``, (1, 1 or time slices, D), are added to the positions of each slice; cubes have 2 frames, of
    images 1, unless stated.
    """
    hparams = encoder_shape(tensors, hints)
    frames = hints.frames or 1
    cube_frames = cube_frames or min(frames, 2)
    table_1ND = tensors["pos_embed"]
    hparams |= {
        "frames": frames,
        "image_size": hints.image_size or isqrt(table_1ND.shape[1] - 1) * hparams["patch"],
        "position": "separable",
        "bias": "qkv",
        "cls_token": True,
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
    weights = rename_prefixes(dict(model.state_dict()), inverted(TIMM_NAMES))
    kernel = weights["patch_embed.proj.weight"]
    places, slices = weights.pop("pos_embed_spatial"), weights.pop("pos_embed_temporal")
    if kernel.shape[2] != 1 or slices.shape[1] != 1:
        raise ValueError("timm's transformers take images: only an encoder of clips of one frame can be written")
    table = torch.cat([weights.pop("pos_embed_class"), places + slices], dim=1)
    return weights | {"patch_embed.proj.weight": kernel[:, :, 0].clone(), "pos_embed": table}
