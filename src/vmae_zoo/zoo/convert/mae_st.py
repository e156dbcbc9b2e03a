"""The layout of the official space-time MAE program (facebookresearch/mae_st): clips, with or without the decoder.

It has separate maps for queries, keys and values; positions are learned and keep their names.
"""

from math import isqrt

from torch import Tensor, nn

from vmae_zoo.models.preprocessing import SLOWFAST_MEAN, SLOWFAST_STD
from vmae_zoo.zoo.convert.prefixes import inverted, join_qkv, rename_prefixes, split_qkv
from vmae_zoo.zoo.convert.spec import (
    LoadHints,
    ModelSpec,
    classifier_spec,
    decoder_shape,
    depth_of,
    encoder_shape,
    size_name,
)

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


def matches(tensors: dict[str, Tensor]) -> bool:
    """Separate positions for space and time, separate maps for queries, keys and values."""
    return {"pos_embed_spatial", "pos_embed_temporal", "blocks.0.attn.q.weight"} <= tensors.keys()


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """A pre-training file, the encoder of one, or a fine-tuned classifier, which has its norm after the mean."""
    shape = encoder_shape(tensors, hints, frames=2)
    patch, slices = shape["patch"], tensors["pos_embed_temporal"].shape[1]
    hparams = {
        "size": size_name(shape["width"], shape["depth"], decoder="mae_st"),
        "frames": hints.frames or 2 * slices,
        "image_size": hints.image_size or isqrt(tensors["pos_embed_spatial"].shape[1]) * patch,
        **shape,
    }
    if "head.weight" in tensors:
        hparams |= {
            "position": "separable",
            "bias": "qkv",
            "cls_token": True,
            "mean": SLOWFAST_MEAN,
            "std": SLOWFAST_STD,
        }
        return classifier_spec(
            hparams, rename_prefixes(join_qkv(tensors, QKV), (("norm.", "encoder.fc_norm."), *RENAMES))
        )
    if "decoder_embed.weight" in tensors:
        hparams["pred_t_dim"] = slices * (len(tensors["decoder_pred.weight"]) // (3 * patch * patch))
        decoder_width, decoder_depth = len(tensors["decoder_embed.weight"]), depth_of(tensors, "decoder_blocks.")
        hparams |= decoder_shape(decoder_width, decoder_depth, hints, "mae_st")
    return ModelSpec("MAEST", hparams, rename_prefixes(join_qkv(tensors, QKV), RENAMES))


def write(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a MAEST, or of a Classifier with its encoder, under the official names."""
    pairs = (*inverted(RENAMES), ("encoder.fc_norm.", "norm."))
    return split_qkv(rename_prefixes(dict(model.state_dict()), pairs), QKV)
