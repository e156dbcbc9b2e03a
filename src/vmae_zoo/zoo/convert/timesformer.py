"""The layout of the official TimeSformer (facebookresearch/TimeSformer): divided attention, supervised.

Each frame is cut into patches; positions are a table for space (the class token's first) and one for time.
"""

import torch
from torch import Tensor, nn

from vmae_zoo.models.preprocessing import SLOWFAST_MEAN, SLOWFAST_STD
from vmae_zoo.zoo.convert import timm_vit
from vmae_zoo.zoo.convert.prefixes import TIMM_NAMES, inverted, rename_prefixes
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec, classifier_spec


def matches(tensors: dict[str, Tensor]) -> bool:
    """Each block has a second attention, over time."""
    return {"time_embed", "pos_embed", "blocks.0.temporal_attn.qkv.weight"} <= tensors.keys()


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """The encoder, with the head if the file has one."""
    slices = tensors["time_embed"]
    hints = hints.but(frames=hints.frames or slices.shape[1])
    image = {name: value for name, value in tensors.items() if name != "time_embed"}
    hparams, weights = timm_vit.image_encoder(image, hints, slices, cube_frames=1)
    hparams |= {"attention": "divided", "pool": "cls", "mean": SLOWFAST_MEAN, "std": SLOWFAST_STD}
    return classifier_spec(hparams, rename_prefixes(weights, TIMM_NAMES))


def write(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a divided-attention classifier under the official names."""
    weights = rename_prefixes(dict(model.state_dict()), inverted(TIMM_NAMES))
    kernel = weights["patch_embed.proj.weight"]
    if "blocks.0.temporal_attn.qkv.weight" not in weights or kernel.shape[2] != 1:
        raise ValueError("the TimeSformer has divided attention and cubes of one frame, unlike this model")
    table = torch.cat([weights.pop("pos_embed_class"), weights.pop("pos_embed_spatial")], dim=1)
    return {f"model.{name}": value for name, value in weights.items() if name != "pos_embed_temporal"} | {
        "model.patch_embed.proj.weight": kernel[:, :, 0].clone(),
        "model.pos_embed": table,
        "model.time_embed": weights["pos_embed_temporal"],
    }
