"""The layout of the official VideoMAE, VideoMAE V2 and MGMAE programs (MCG-NJU/VideoMAE, OpenGVLab/VideoMAEv2).

This package uses the same names, so a pre-training file needs no renaming; a fine-tuned one has no prefix ``encoder.``.
Positions are computed and not saved. As all three programs write the same layout, a file is loaded as VideoMAE's unless
the caller names another method.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from vmae_zoo.methods.registry import METHODS
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec, classifier_spec, decoder_shape, encoder_shape

if TYPE_CHECKING:
    from vmae_zoo.methods.base import Method


def matches(tensors: dict[str, Tensor]) -> bool:
    """No other vision transformer has separate biases of queries and values."""
    return any(name in tensors for name in ("encoder.blocks.0.attn.q_bias", "blocks.0.attn.q_bias"))


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """A pre-training file, an encoder alone, or a fine-tuned classifier."""
    if "blocks.0.attn.q_bias" in tensors:
        tensors = {name if name.startswith("head.") else f"encoder.{name}": value for name, value in tensors.items()}
    clip = {"frames": hints.frames or 16, "image_size": hints.image_size or 224}
    if "encoder.fc_norm.weight" in tensors:
        return classifier_spec(clip | encoder_shape(tensors, hints, "encoder.", frames=2), tensors)
    if "head.weight" in tensors:
        raise ValueError(
            f"{hints.where} classifies the first token alone instead of the mean of all, unlike every released script "
            "of VideoMAE: load the file that it was fine-tuned from"
        )
    method = hints.method or "videomae"
    if method not in ("videomae", "videomae_v2", "mgmae"):
        raise ValueError(
            f"{hints.where} is in VideoMAE's layout: method is videomae, videomae_v2 or mgmae, not {method}"
        )
    hparams = clip | encoder_shape(tensors, hints, "encoder.", frames=2, decoder=method)
    hparams |= decoder_shape(tensors, hints, method, blocks="decoder.blocks.")
    return ModelSpec(METHODS[method].class_name, hparams, tensors)


def write(model: "Method") -> dict[str, Tensor]:
    """The weights of a VideoMAE, VideoMAEv2, MGMAE or Classifier under the official names."""
    state = dict(model.state_dict())
    if model.task == "classify":
        return {name.removeprefix("encoder."): value for name, value in state.items()}
    return state
