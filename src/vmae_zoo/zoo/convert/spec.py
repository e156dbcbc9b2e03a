"""Input and output of the readers of layouts."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vmae_zoo.models.sizes import DECODERS, ENCODERS

if TYPE_CHECKING:
    from vmae_zoo.methods.base import Method

VJEPA_2 = "vjepa2"  # names a file of V-JEPA 2, whose method is that of V-JEPA
GIANT_WIDTH, VJEPA_GIANT_HEADS = 1408, 22


@dataclass(frozen=True)
class LoadHints:
    """What the caller, or the table of checkpoints, states about a file; None if not stated.

    Args:
        where: the file, for errors.
        task: task to load it for; an encoder alone does not need the heads of the decoder.
        method: a key of `vmae_zoo.methods.registry.METHODS`, or `VJEPA_2`.
        method_class: class of a method outside this package.
        num_heads: attention heads of the encoder.
        decoder_num_heads: attention heads of the decoder.
        image_size: rows and columns of a clip in pixels.
        frames: frames of a clip.
        config: contents of the ``config.json`` beside the file; {} if there is none.
    """

    where: str
    task: str = "encoder"
    method: str | None = None
    method_class: "type[Method] | None" = None
    num_heads: int | None = None
    decoder_num_heads: int | None = None
    image_size: int | None = None
    frames: int | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> "LoadHints":
        """A copy with some values changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class ModelSpec:
    """A file of weights in the terms of this package.

    Args:
        method: name of a class of this package, or import path of another; an encoder that belongs to no method is a
            Classifier without a head.
        hparams: arguments of its constructor.
        tensors: weights under this package's names.
        preprocessing: fields of `vmae_zoo.models.preprocessing.Preprocessing` that differ from the method's.
        task: "pretrain" or "classify".
        encoder_name: name of the submodule whose features are evaluated.
        encoder: what `vmae_zoo.models.encoders.describe` returned for it; None if the file does not state it.
        part: prefix of all tensors, "encoder." for an encoder alone, "" otherwise; None if the file does not state it.
        method_class: the class, if the caller named it.
        note: what whoever loads it should know, for example which of two encoders was read.
    """

    method: str
    hparams: dict[str, Any]
    tensors: dict[str, Tensor]
    preprocessing: dict[str, Any] = field(default_factory=dict)
    task: str = "pretrain"
    encoder_name: str = "encoder"
    encoder: dict[str, Any] | None = None
    part: str | None = None
    method_class: "type[Method] | None" = None
    note: str = ""

    @property
    def encoder_only(self) -> bool:
        """Whether these are the weights of an encoder alone."""
        if self.part is not None:
            return self.part != ""
        return all(name.startswith(f"{self.encoder_name}.") for name in self.tensors)


def classifier_spec(hparams: dict[str, Any], tensors: dict[str, Tensor]) -> ModelSpec:
    """The weights of a Classifier; its number of classes is that of its head, if the file has one."""
    classes = {"num_classes": len(tensors["head.weight"])} if "head.weight" in tensors else {}
    return ModelSpec("Classifier", {**hparams, **classes}, tensors, task="classify")


def depth_of(names: Iterable[str], prefix: str) -> int:
    """Number of blocks under ``prefix``, for example "encoder.blocks."."""
    return len({name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)})


def num_heads_of(width: int, hints: LoadHints) -> int:
    """Attention heads of the encoder, which no weight shows: as stated, as published for this width, or width / 64."""
    published = {size.width: size.num_heads for size in ENCODERS.values()}
    return hints.num_heads or _usual_heads(width, published) or _require("num_heads", width, hints)


def mlp_ratio_of(width: int, hidden: int) -> float:
    """The ratio r for which ``int(r * width)`` is ``hidden``."""
    ratio = hidden / width
    return ratio if int(ratio * width) == hidden else math.nextafter(ratio, math.inf)


def size_name(width: int, depth: int, decoder: str | None = None) -> str:
    """The published size with this encoder; "base" if there is none: explicit dimensions then override it."""
    known = ENCODERS if decoder is None else DECODERS[decoder]
    for name, size in ENCODERS.items():
        if name in known and (size.width, size.depth) == (width, depth):
            return name
    return "base"


def encoder_shape(
    tensors: Mapping[str, Tensor],
    hints: LoadHints,
    prefix: str = "",
    frames: int | None = None,
    decoder: str | None = None,
) -> dict[str, Any]:
    """Size, width, depth, heads, MLP ratio and patch of an encoder, from the shapes of its weights.

    ``decoder`` names the method whose decoder the size has to have too. The patch embedding is (width, colors, rows,
    columns), or (width, colors, frames, rows, columns) for cubes of ``frames``.
    """
    name = f"{prefix}patch_embed.proj.weight"
    shape = tuple(tensors[name].shape) if name in tensors else ()
    cube_frames = () if frames is None else (frames,)
    if len(shape) != 4 + len(cube_frames) or shape[2:-2] != cube_frames or shape[-1] != shape[-2] or shape[1] != 3:
        wanted = f"3 colors, {'' if frames is None else f'{frames} frames, '}square patches"
        raise ValueError(f"{hints.where}: the patch embedding has shape {shape}; supported: {wanted}")
    width, patch = shape[0], shape[-1]
    depth = depth_of(tensors, f"{prefix}blocks.")
    return {
        "size": size_name(width, depth, decoder),
        "width": width,
        "depth": depth,
        "num_heads": num_heads_of(width, hints),
        "mlp_ratio": mlp_ratio_of(width, len(tensors[f"{prefix}blocks.0.mlp.fc1.weight"])),
        "patch": patch,
    }


def vjepa_shape(tensors: Mapping[str, Tensor], hints: LoadHints) -> dict[str, Any]:
    """`encoder_shape` of a V-JEPA, whose giant has other heads than VideoMAE V2's."""
    shape = encoder_shape(tensors, hints, "encoder.", frames=2)
    if shape["width"] == GIANT_WIDTH and hints.num_heads is None:
        shape["num_heads"] = VJEPA_GIANT_HEADS
    return shape


def decoder_shape(
    tensors: dict[str, Tensor], hints: LoadHints, method: str, blocks: str = "decoder_blocks."
) -> dict[str, int]:
    """Width, depth and heads of a method's decoder, as arguments of its constructor; {} if the file has none.

    The heads, which no weight shows, are as stated, as published for this width, or width / 64.
    """
    if "mask_token" not in tensors:
        return {}
    width = tensors["mask_token"].shape[-1]
    published = {size.width: size.num_heads for size in DECODERS[method].values()}
    unused = 1 if hints.task == "encoder" else None
    heads = hints.decoder_num_heads or _usual_heads(width, published) or unused
    return {
        "decoder_width": width,
        "decoder_depth": depth_of(tensors, blocks),
        "decoder_num_heads": heads or _require("decoder_num_heads", width, hints),
    }


def _usual_heads(width: int, published: dict[int, int]) -> int | None:
    return published.get(width) or (width // 64 if width % 64 == 0 else None)


def _require(key: str, width: int, hints: LoadHints) -> int:
    raise ValueError(f"{hints.where} does not state the number of attention heads of its width {width}: give {key}")
