"""The encoder of each family of methods, from the methods' hyperparameters.

One function per family, the only place that states its architecture and initialization: the methods' constructors call
it, and `vmae_zoo.load_pretrained` calls it for an encoder alone, without importing a method. Each takes all
hyperparameters of a method and reads those of the encoder: ``size``, ``width``, ``depth``, ``num_heads``,
``mlp_ratio``, ``patch``, ``trained_image_size`` and ``trained_frames`` (see `vmae_zoo.methods.base.Method`) beside its
own arguments.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.blocks import init_patch_projection, init_separate_qkv, init_truncated, scale_residual_branches
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.positions import SeparablePosEmbed
from vmae_zoo.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, SLOWFAST_MEAN, SLOWFAST_STD, Preprocessing
from vmae_zoo.models.sizes import encoder_size


def videomae(frames: int = 16, image_size: int = 224, stride_frames: int = 4, **hparams: Any) -> Encoder:
    """VideoMAE, VideoMAE V2, MGMAE, ARVideo: cubes of two frames, one sine-cosine table over all tokens."""
    preprocessing = Preprocessing(frames=frames, stride_frames=stride_frames, size=image_size)
    return _encoder(2, preprocessing, hparams, ("attention", "final_norm", "position", "rope_frequencies"))


def mae(image_size: int = 224, patch: int | None = None, size: str = "base", **hparams: Any) -> Encoder:
    """MAE: images, a 2-D sine-cosine table, a class token; patches of 14 pixels if ``size`` is huge."""
    hparams = {**hparams, "size": size, "patch": patch or (14 if size == "huge" else None)}
    preprocessing = Preprocessing(frames=1, stride_frames=1, size=image_size)
    encoder = _encoder(1, preprocessing, hparams, position="sincos_2d", bias="qkv", cls_token=True)
    init_patch_projection(encoder.patch_embed.proj)
    return encoder


def mae_st(frames: int = 16, image_size: int = 224, stride_frames: int = 4, **hparams: Any) -> Encoder:
    """Space-time MAE: learned tables for space and for time, a class token."""
    preprocessing = Preprocessing(SLOWFAST_MEAN, SLOWFAST_STD, frames, stride_frames, image_size)
    encoder = _encoder(2, preprocessing, hparams, position="separable", bias="qkv", cls_token=True)
    encoder.cls_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, encoder.width), std=0.02))
    init_patch_projection(encoder.patch_embed.proj)
    return encoder


def moco_v3(frames: int = 16, image_size: int = 224, stride_frames: int = 4, **hparams: Any) -> Encoder:
    """MoCo v3: a class token; cubes of two frames, or patches if clips have one frame."""
    preprocessing = Preprocessing(frames=frames, stride_frames=stride_frames, size=image_size)
    encoder = _encoder(min(frames, 2), preprocessing, hparams, ("position",), bias="qkv", cls_token=True)
    encoder.apply(init_separate_qkv)
    encoder.cls_token = nn.Parameter(nn.init.normal_(torch.empty(1, 1, encoder.width), std=1e-6))
    init_patch_projection(encoder.patch_embed.proj, zero_bias=True)
    return encoder


def classifier(
    frames: int = 16,
    image_size: int = 224,
    stride_frames: int = 4,
    sampling: str = "dense",
    pool: str = "mean",
    cls_token: bool = False,
    cube_frames: int = 2,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
    drop_path: float = 0.1,
    **hparams: Any,
) -> Encoder:
    """Classifiers: VideoMAE's, space-time MAE's, the TimeSformer's, and image transformers."""
    encoder = _encoder(
        cube_frames,
        Preprocessing(
            (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), frames, stride_frames, image_size, sampling
        ),
        hparams,
        ("attention", "position", "rope_frequencies", "bias"),
        final_norm=pool != "mean",
        fc_norm=pool == "mean",
        drop_path=drop_path,
        cls_token=cls_token or pool == "cls",
    )
    encoder.apply(init_truncated)
    if encoder.attention == "divided" and isinstance(encoder.positions, SeparablePosEmbed):
        nn.init.zeros_(encoder.positions.pos_embed_temporal)  # as in TimeSformer
    return encoder


def vjepa(
    size: str = "large",
    frames: int = 16,
    image_size: int = 256,
    stride_frames: int = 4,
    scale_residuals: bool = True,
    num_heads: int | None = None,
    patch: int | None = None,
    **hparams: Any,
) -> Encoder:
    """V-JEPA and V-JEPA 2: rotary or 3-D sine-cosine positions; giant has 22 heads and patches of 16 pixels."""
    giant = size == "giant"
    hparams = {"position": "rope", **hparams, "size": size}
    hparams |= {"num_heads": num_heads or (22 if giant else None), "patch": patch or (16 if giant else None)}
    preprocessing = Preprocessing(frames=frames, stride_frames=stride_frames, size=image_size)
    encoder = _encoder(2, preprocessing, hparams, ("position", "rope_frequencies"), bias="qkv")
    encoder.apply(init_truncated)
    nn.init.trunc_normal_(encoder.patch_embed.proj.weight, std=0.02)
    nn.init.zeros_(encoder.patch_embed.proj.bias)  # type: ignore[arg-type]
    if scale_residuals:
        scale_residual_branches(encoder.blocks)
    return encoder


_ALL: tuple[Callable[..., Encoder], ...] = (videomae, mae, mae_st, vjepa, moco_v3, classifier)
FAMILIES = {family.__name__: family for family in _ALL}


def _encoder(
    cube_frames: int,
    preprocessing: Preprocessing,
    hparams: Mapping[str, Any],
    options: Sequence[str] = (),
    **settings: Any,
) -> Encoder:
    """An encoder of the size in the hyperparameters; those named in ``options`` are passed to `Encoder`."""
    settings |= {name: hparams[name] for name in options if name in hparams}
    sizes = {name: hparams.get(name) for name in ("width", "depth", "num_heads", "mlp_ratio", "patch")}
    known = encoder_size(hparams.get("size", "base"), **sizes)
    side = preprocessing.size
    return Encoder(
        TokenGrid.of_clip(preprocessing.frames, side, side, (cube_frames, known.patch, known.patch)),
        known.width,
        known.depth,
        known.num_heads,
        mlp_ratio=known.mlp_ratio,
        trained=(hparams.get("trained_frames"), hparams.get("trained_image_size")),
        preprocessing=preprocessing,
        **settings,
    )


CONSTANTS = {"init_values": 0.0, "channels": 3, "eps": 1e-6}  # settings in records of version 0.1


def describe(encoder: Encoder) -> dict[str, Any]:
    """Arguments of `rebuild` for this encoder, as plain values; its preprocessing is not included."""
    return {"clip": encoder.grid.pixels, "cube": encoder.grid.cube, **encoder.settings}


def rebuild(clip: tuple[int, int, int], cube: tuple[int, int, int], **settings: Any) -> Encoder:
    """An encoder of these settings (see `describe`) with random weights; ``ValueError`` if it is not supported."""
    for name, constant in CONSTANTS.items():
        value = settings.pop(name, constant)
        if value != constant:
            raise ValueError(f"{name} = {value} is not supported: it must be {constant}")
    return Encoder(TokenGrid.of_clip(*clip, cube), **settings)
