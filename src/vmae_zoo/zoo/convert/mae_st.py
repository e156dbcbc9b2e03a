"""The layout of the official space-time MAE program (facebookresearch/mae_st): clips, with or without the decoder.

It has separate maps for queries, keys and values; positions are learned and keep their names.
"""

from math import isqrt

from torch import Tensor, nn

from vmae_zoo.models.preprocessing import SLOWFAST_MEAN, SLOWFAST_STD
from vmae_zoo.zoo.convert.prefixes import TIMM_NAMES, inverted, join_qkv, rename_prefixes, split_qkv
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec, classifier_spec, decoder_shape, encoder_shape

QKV = ("q", "k", "v")


def matches(tensors: dict[str, Tensor]) -> bool:
    """Separate positions for space and time, separate maps for queries, keys and values."""
    return {"pos_embed_spatial", "pos_embed_temporal", "blocks.0.attn.q.weight"} <= tensors.keys()


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """A pre-training file, the encoder of one, or a fine-tuned classifier, which has its norm after the mean."""
    hparams = encoder_shape(tensors, hints, frames=2, decoder="mae_st")
    patch, slices = hparams["patch"], tensors["pos_embed_temporal"].shape[1]
    hparams["frames"] = hints.frames or 2 * slices
    hparams["image_size"] = hints.image_size or isqrt(tensors["pos_embed_spatial"].shape[1]) * patch
    tensors = join_qkv(tensors, QKV)
    if "head.weight" in tensors:
        hparams |= {"position": "separable", "bias": "qkv", "cls_token": True}
        hparams |= {"mean": SLOWFAST_MEAN, "std": SLOWFAST_STD}
        return classifier_spec(hparams, rename_prefixes(tensors, (("norm.", "encoder.fc_norm."), *TIMM_NAMES)))
    if "decoder_pred.weight" in tensors:
        hparams["pred_t_dim"] = slices * (len(tensors["decoder_pred.weight"]) // (3 * patch * patch))
        hparams |= decoder_shape(tensors, hints, "mae_st")
    return ModelSpec("MAEST", hparams, rename_prefixes(tensors, TIMM_NAMES))


def write(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a MAEST, or of a Classifier with its encoder, under the official names."""
    pairs = (("encoder.fc_norm.", "norm."), *inverted(TIMM_NAMES))
    return split_qkv(rename_prefixes(dict(model.state_dict()), pairs), QKV)
