"""The layout of the official VideoMAE, VideoMAE V2 and MGMAE programs (MCG-NJU/VideoMAE, OpenGVLab/VideoMAEv2).

This package keeps their names, so a pre-training file is read and written as it stands; a fine-tuned one lacks the
prefix ``encoder.``. Positions are computed and never saved. All three programs write the same layout: a file is
VideoMAE's unless the caller says otherwise.
"""

from typing import Any

from torch import Tensor, nn

from vmae_zoo.methods.registry import METHODS
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

NAME = "videomae"


def recognises(tensors: dict[str, Tensor]) -> bool:
    """Separate query and value biases tell it from every other vision transformer."""
    return any(name in tensors for name in ("encoder.blocks.0.attn.q_bias", "blocks.0.attn.q_bias"))


def read(tensors: dict[str, Tensor], told: LoadHints) -> ModelSpec:
    """A pre-training file, an encoder alone, or a fine-tuned classifier."""
    if "blocks.0.attn.q_bias" in tensors:
        tensors = {name if name.startswith("head.") else f"encoder.{name}": value for name, value in tensors.items()}
    hparams = encoder_hparams(tensors, told)
    if "encoder.fc_norm.weight" in tensors:
        return ModelSpec("Classifier", {**hparams, **classes_of(tensors)}, tensors)
    if "head.weight" in tensors:
        raise ValueError(
            f"{told.where} classifies the first token alone, not the mean of all, which no released training script of "
            "VideoMAE does: load the file that it was fine-tuned from"
        )
    method = told.method or "videomae"
    if method not in ("videomae", "videomae_v2", "mgmae"):
        raise ValueError(
            f"{told.where} is in VideoMAE's layout: method is videomae, videomae_v2 or mgmae, not {method}"
        )
    return ModelSpec(
        METHODS[method].class_name, {**hparams, **decoder_hparams(tensors, told, method, hparams)}, tensors
    )


def encoder_hparams(tensors: dict[str, Tensor], told: LoadHints) -> dict[str, Any]:
    """Dimensions of the encoder, read off the shapes."""
    width, patch = embedding_of(tensors, "encoder.patch_embed.proj.weight", told, frames=2)
    depth, hidden = depth_of(tensors, "encoder.blocks."), len(tensors["encoder.blocks.0.mlp.fc1.weight"])
    return {
        "size": size_name(width, depth),
        "frames": told.frames or 16,
        "image_size": told.image_size or 224,
        "width": width,
        "depth": depth,
        "num_heads": heads_of(width, told),
        "mlp_ratio": mlp_ratio_of(width, hidden),
        "patch": patch,
    }


def decoder_hparams(
    tensors: dict[str, Tensor], told: LoadHints, method: str, encoder: dict[str, Any]
) -> dict[str, Any]:
    """Dimensions of the decoder; {} where the file has none."""
    size = {"size": size_name(encoder["width"], encoder["depth"], decoder=method)}
    if "mask_token" not in tensors:
        return size
    width = tensors["mask_token"].shape[-1]
    return {
        **size,
        "decoder_width": width,
        "decoder_depth": depth_of(tensors, "decoder.blocks."),
        "decoder_num_heads": decoder_heads_of(width, told, method),
    }


def write(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a VideoMAE, VideoMAEv2, MGMAE or Classifier under the official names."""
    state = dict(model.state_dict())
    if type(model).__name__ == "Classifier":
        return {name.removeprefix("encoder."): value for name, value in state.items()}
    return state
