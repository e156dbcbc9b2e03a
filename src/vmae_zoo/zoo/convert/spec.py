"""What a reader of a foreign layout is told, and what it answers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from vmae_zoo.models.sizes import DECODERS, ENCODERS


@dataclass(frozen=True)
class LoadHints:
    """What the caller, or the table of checkpoints, says about a file; None where nothing is said.

    Args:
        where: the file, for errors.
        task: what is wanted of it; for "encoder" nobody asks for the heads of the decoder.
        method: a key of `vmae_zoo.methods.registry.METHODS`.
        num_heads: of the encoder.
        decoder_num_heads: of the decoder.
        image_size: rows and columns of a clip in pixels.
        frames: frames of a clip.
        config: the ``config.json`` that lay beside the file, {} without one.
    """

    where: str
    task: str = "encoder"
    method: str | None = None
    num_heads: int | None = None
    decoder_num_heads: int | None = None
    image_size: int | None = None
    frames: int | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> "LoadHints":
        """The same with some answers changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class ModelSpec:
    """A file in this package's words.

    Args:
        method: class name; an encoder that belongs to no method is a Classifier without a head.
        hparams: plain arguments of its constructor.
        tensors: weights under this package's names.
        preprocessing: what differs from the method's own, by name.
        note: what whoever loads it should know, for example which of two encoders was read.
    """

    method: str
    hparams: dict[str, Any]
    tensors: dict[str, Tensor]
    preprocessing: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def depth_of(names: Iterable[str], prefix: str) -> int:
    """How many blocks there are under ``prefix``, for example "encoder.blocks."."""
    return len({name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)})


def heads_of(width: int, told: LoadHints) -> int:
    """Heads of an encoder, which no weight tells: as told, else as published for this width, else 64 values a head."""
    published = {size.width: size.num_heads for size in ENCODERS.values()}
    return told.num_heads or _usual(width, published) or _ask("num_heads", width, told)


def decoder_heads_of(width: int, told: LoadHints, method: str) -> int:
    """Attention heads of this method's decoder, likewise."""
    published = {size.width: size.num_heads for size in DECODERS[method].values()}
    unasked = 1 if told.task == "encoder" else None
    return told.decoder_num_heads or _usual(width, published) or unasked or _ask("decoder_num_heads", width, told)


def mlp_ratio_of(width: int, hidden: int) -> float:
    """The ratio r for which ``int(r * width)`` is ``hidden``."""
    ratio = hidden / width
    return ratio if int(ratio * width) == hidden else math.nextafter(ratio, math.inf)


def classes_of(tensors: dict[str, Tensor]) -> dict[str, int]:
    """``num_classes`` of a classifier, {} where the file has no head."""
    return {"num_classes": len(tensors["head.weight"])} if "head.weight" in tensors else {}


def size_name(width: int, depth: int, decoder: str | None = None) -> str:
    """The published size with this encoder; "base", which explicit dimensions then override, where there is none."""
    known = ENCODERS if decoder is None else DECODERS[decoder]
    for name, size in ENCODERS.items():
        if name in known and (size.width, size.depth) == (width, depth):
            return name
    return "base"


def _usual(width: int, published: dict[int, int]) -> int | None:
    return published.get(width) or (width // 64 if width % 64 == 0 else None)


def _ask(key: str, width: int, told: LoadHints) -> int:
    raise ValueError(f"{told.where} does not say how many attention heads its width of {width} has: give {key}")


def embedding_of(tensors: dict[str, Tensor], name: str, told: LoadHints, frames: int | None = None) -> tuple[int, int]:
    """Width of the tokens and side of a patch, read off the patch embedding.

    Args:
        tensors: weights by name.
        name: of the patch embedding's weight: (width, colours, rows, columns), or with frames before the rows.
        told: the file, for the error.
        frames: depth of a cube; None: the embedding has no axis for it.
    """
    shape = tuple(tensors[name].shape) if name in tensors else ()
    depth = () if frames is None else (frames,)
    if len(shape) != 4 + len(depth) or shape[2:-2] != depth or shape[-1] != shape[-2] or shape[1] != 3:
        wanted = f"3 colours, {'' if frames is None else f'{frames} frames, '}square patches"
        raise ValueError(f"{told.where}: the patch embedding is {shape}: known here are {wanted}")
    return shape[0], shape[-1]
