"""The layout of the official space-time MAE program (facebookresearch/mae_st): clips, with or without the decoder.

Queries, keys and values are three maps there and one here; positions are learnt and keep their names.
"""

from math import isqrt

from torch import Tensor, nn

from vmae_zoo.models.preprocessing import SLOWFAST_MEAN, SLOWFAST_STD
from vmae_zoo.zoo.convert.renames import joined_qkv, renamed, split_qkv, turned
from vmae_zoo.zoo.convert.spec import (
    LoadHints,
    ModelSpec,
    classes_of,
    decoder_heads_of,
    depth_of,
    embedding_of,
    heads_of,
    mlp_ratio_of,
    size_name,
)

NAME = "mae_st"

RENAMES = (
    ("cls_token", "encoder.cls_token"),
    ("pos_embed_", "encoder.positions.pos_embed_"),
    ("patch_embed.", "encoder.patch_embed."),
    ("blocks.", "encoder.blocks."),
    ("norm.", "encoder.norm."),
    ("decoder_embed.", "encoder_to_decoder."),
    ("decoder_pos_embed_", "decoder.positions.pos_embed_"),
    ("decoder_blocks.", "decoder.blocks."),
    ("decoder_norm.", "decoder.norm."),
    ("decoder_pred.", "decoder.head."),
)
QKV = ("q", "k", "v")


def recognises(tensors: dict[str, Tensor]) -> bool:
    """Separate positions of space and time, separate maps for queries, keys and values."""
    return {"pos_embed_spatial", "pos_embed_temporal", "blocks.0.attn.q.weight"} <= tensors.keys()


def read(tensors: dict[str, Tensor], told: LoadHints) -> ModelSpec:
    """A pre-training file, the encoder of one, or a fine-tuned classifier, whose norm comes after the mean."""
    width, patch = embedding_of(tensors, "patch_embed.proj.weight", told, frames=2)
    depth = depth_of(tensors, "blocks.")
    slices = tensors["pos_embed_temporal"].shape[1]
    hparams = {
        "size": size_name(width, depth, decoder="mae_st"),
        "frames": told.frames or 2 * slices,
        "image_size": told.image_size or isqrt(tensors["pos_embed_spatial"].shape[1]) * patch,
        "width": width,
        "depth": depth,
        "num_heads": heads_of(width, told),
        "mlp_ratio": mlp_ratio_of(width, len(tensors["blocks.0.mlp.fc1.weight"])),
        "patch": patch,
    }
    if "head.weight" in tensors:
        hparams |= {
            "position": "separable",
            "bias": "qkv",
            "cls_token": True,
            "mean": SLOWFAST_MEAN,
            "std": SLOWFAST_STD,
        }
        weights = renamed(joined_qkv(tensors, QKV), (("norm.", "encoder.fc_norm."), *RENAMES))
        return ModelSpec("Classifier", hparams | classes_of(tensors), weights)
    if "decoder_embed.weight" in tensors:
        decoder_width = len(tensors["decoder_embed.weight"])
        hparams |= {
            "pred_t_dim": slices * (len(tensors["decoder_pred.weight"]) // (3 * patch * patch)),
            "decoder_width": decoder_width,
            "decoder_depth": depth_of(tensors, "decoder_blocks."),
            "decoder_num_heads": decoder_heads_of(decoder_width, told, "mae_st"),
        }
    return ModelSpec("MAEST", hparams, renamed(joined_qkv(tensors, QKV), RENAMES))


def write(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a MAEST, or of a Classifier with its encoder, under the official names."""
    pairs = (*turned(RENAMES), ("encoder.fc_norm.", "norm."))
    return split_qkv(renamed(dict(model.state_dict()), pairs), QKV)
