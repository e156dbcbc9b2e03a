"""Published sizes of encoders and decoders, by the name that ``size`` gives them."""

from dataclasses import dataclass, replace
from typing import Any

from vmae_zoo.setting_checks import check_choice


@dataclass(frozen=True)
class EncoderSize:
    """Width, depth and heads of an encoder; ``patch``: rows and columns of a patch in pixels."""

    width: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    patch: int = 16


@dataclass(frozen=True)
class DecoderSize:
    """Width, depth and heads of a decoder."""

    width: int
    depth: int
    num_heads: int


ENCODERS = {
    "tiny": EncoderSize(192, 12, 3),  # ours; the others are published
    "small": EncoderSize(384, 12, 6),
    "base": EncoderSize(768, 12, 12),
    "large": EncoderSize(1024, 24, 16),
    "huge": EncoderSize(1280, 32, 16),
    "giant": EncoderSize(1408, 40, 16, mlp_ratio=48 / 11, patch=14),
}

_VIDEOMAE = {
    "tiny": DecoderSize(96, 2, 3),
    "small": DecoderSize(192, 4, 3),
    "base": DecoderSize(384, 4, 6),
    "large": DecoderSize(512, 12, 8),
    "huge": DecoderSize(640, 12, 8),
}
_VIDEOMAE_V2 = {
    **_VIDEOMAE,
    "large": DecoderSize(512, 4, 8),
    "huge": DecoderSize(512, 4, 8),
    "giant": DecoderSize(512, 4, 8),
}


def _same_for_all(size: DecoderSize) -> dict[str, DecoderSize]:
    return {**dict.fromkeys(ENCODERS, size), "tiny": DecoderSize(96, 2, 3)}


DECODERS = {
    "videomae": _VIDEOMAE,
    "videomae_v2": _VIDEOMAE_V2,
    "mgmae": _VIDEOMAE_V2,
    "arvideo": _same_for_all(DecoderSize(512, 4, 8)),
    "mae": _same_for_all(DecoderSize(512, 8, 16)),
    "mae_st": _same_for_all(DecoderSize(512, 4, 16)),
    "vjepa": {**dict.fromkeys(ENCODERS, DecoderSize(384, 12, 12)), "tiny": DecoderSize(96, 4, 3)},  # the predictor
}


def encoder_size(size: str, **given: Any) -> EncoderSize:
    """The encoder of this size, with the given values replaced; ``ValueError`` for an unknown size."""
    check_choice("size", size, ENCODERS)
    return replace(ENCODERS[size], **{name: value for name, value in given.items() if value})


def decoder_size(method: str, size: str, **given: int | None) -> DecoderSize:
    """The decoder of a method for this size, with the given values replaced; ``ValueError`` if there is none."""
    encoder_size(size)
    if size not in DECODERS[method]:
        raise ValueError(f"size = {size!r} has no decoder in {method}: choose one of {', '.join(DECODERS[method])}")
    return replace(DECODERS[method][size], **{name: value for name, value in given.items() if value})
