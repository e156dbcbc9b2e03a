"""The layouts of the official V-JEPA and V-JEPA 2 programs (facebookresearch/jepa, facebookresearch/vjepa2).

A checkpoint is a dict of ``encoder``, ``predictor`` and ``target_encoder`` beside the state of training; it is read as
one set of weights with these three prefixes. Positions are computed here; V-JEPA's files hold tables, which are
compared and left out, V-JEPA 2's may hold some that its rotary network does not use.

Names and shapes do not always show which version a file is of: ``method`` states it.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from vmae_zoo.models.sincos import sincos_3d
from vmae_zoo.zoo.convert.prefixes import inverted, rename_prefixes
from vmae_zoo.zoo.convert.spec import VJEPA_2, LoadHints, ModelSpec, depth_of, num_heads_of, vjepa_shape

PARTS = ("encoder", "predictor", "target_encoder")
VERSIONS = ("vjepa", VJEPA_2)
PREDICTOR = (
    ("predictor.predictor_embed.", "predictor.embed."),
    ("predictor.predictor_blocks.", "predictor.blocks."),
    ("predictor.predictor_norm.", "predictor.norm."),
    ("predictor.predictor_proj.", "predictor.proj."),
)
PREDICTOR_TABLE = "predictor.predictor_pos_embed"
V2_PREDICTOR_HEADS = 12


def matches(tensors: dict[str, Tensor]) -> bool:
    """One of the encoders, one bias for queries, keys and values, and no class token."""
    names = {_bare(name) for name in tensors}
    return any(f"{part}.blocks.0.attn.qkv.bias" in names for part in ("encoder", "target_encoder")) and not any(
        name.startswith("decoder.") or name.endswith("cls_token") for name in names
    )


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """A pre-training file of either version, or one of its encoders alone."""
    tensors = rename_prefixes({_bare(name): value for name, value in tensors.items()}, PREDICTOR)
    version = _version(tensors, hints)
    read_from = "target_encoder" if "target_encoder.norm.weight" in tensors else "encoder"
    note = f"features are those of {read_from}"
    for one, other in (("encoder", "target_encoder"), ("target_encoder", "encoder")):
        if f"{one}.norm.weight" not in tensors:
            note = f"the file holds {other} alone, which is read as {one} too"
            copies = {n.removeprefix(f"{other}."): v for n, v in tensors.items() if n.startswith(f"{other}.")}
            tensors |= {f"{one}.{name}": value for name, value in copies.items()}
    hparams = {**encoder_hparams(tensors, hints, version), **predictor_hparams(tensors, hints, version)}
    if version == "vjepa":
        _check_tables(tensors, hparams, hints.where)
    return ModelSpec("VJEPA", hparams, _used(tensors, version), encoder_name="target_encoder", note=note)


def encoder_hparams(tensors: Mapping[str, Tensor], hints: LoadHints, version: str) -> dict[str, Any]:
    """Dimensions and positions of the encoder."""
    shape = vjepa_shape(tensors, hints)
    frames = hints.frames or 16
    side = 224 if version == "vjepa" else 256
    if version == "vjepa" and "encoder.pos_embed" in tensors:
        side = isqrt(tensors["encoder.pos_embed"].shape[1] // max(frames // 2, 1)) * shape["patch"]
    return shape | {
        "frames": frames,
        "image_size": hints.image_size or side,
        "position": "sincos_3d" if version == "vjepa" else "rope",
        "rope_frequencies": "tiled",
        "mask_tokens": "per_set" if version == "vjepa" else "shared",
        "scale_residuals": version == VJEPA_2,
    }


def predictor_hparams(tensors: Mapping[str, Tensor], hints: LoadHints, version: str) -> dict[str, Any]:
    """Dimensions of the predictor; {} if the file has none."""
    if "predictor.embed.weight" not in tensors:
        return {}
    width, encoder_width = tensors["predictor.embed.weight"].shape
    heads = hints.decoder_num_heads
    if heads is None and width == 384:
        heads = V2_PREDICTOR_HEADS if version == VJEPA_2 else num_heads_of(encoder_width, hints)
    if heads is None and hints.task != "encoder":
        raise ValueError(
            f"{hints.where} does not state the number of attention heads of its predictor of width {width}: "
            "give predictor_num_heads"
        )
    return {
        "predictor_width": width,
        "predictor_depth": depth_of(tensors, "predictor.blocks."),
        "predictor_num_heads": heads or 1,
    }


def write(model: Any) -> dict[str, Tensor]:
    """The weights of a VJEPA under the official names, with their prefixes, and V-JEPA's tables of positions.

    V-JEPA 2's program allots a mask token per set and trains the first for both; here both get the shared one.
    """
    weights = rename_prefixes(dict(model.state_dict()), inverted(PREDICTOR))
    if model.hparams["mask_tokens"] == "shared":
        weights["predictor.mask_tokens.1"] = weights["predictor.mask_tokens.0"].clone()
    if model.encoder.positions.kind == "sincos_3d":
        tables = {"encoder.pos_embed": model.encoder, PREDICTOR_TABLE: model.predictor}
        tables["target_encoder.pos_embed"] = model.target_encoder
        weights |= {name: part.positions.table.clone() for name, part in tables.items()}
    named = {}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        named[f"{part}.module.backbone.{rest}"] = value
    return named


def packed(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The weights as the official programs save them: a dict for each of the three networks."""
    return {
        part: {n.removeprefix(f"{part}."): v for n, v in weights.items() if n.startswith(f"{part}.")} for part in PARTS
    }


def _bare(name: str) -> str:
    """The name without the prefixes of wrappers after that of the network."""
    part, dot, rest = name.partition(".")
    if part not in PARTS:
        return name
    return part + dot + rest.removeprefix("module.").removeprefix("backbone.")


def _version(tensors: Mapping[str, Tensor], hints: LoadHints) -> str:
    if hints.method in VERSIONS:
        return str(hints.method)
    if hints.method is not None:
        raise ValueError(f"{hints.where} is in V-JEPA's layout: method is vjepa or vjepa2, not {hints.method}")
    if any(name.endswith("pos_embed") for name in tensors):
        raise ValueError(
            f"{hints.where} holds tables of positions, which V-JEPA adds and V-JEPA 2 does not use: "
            "give method='vjepa' or method='vjepa2'"
        )
    return VJEPA_2


def _used(tensors: Mapping[str, Tensor], version: str) -> dict[str, Tensor]:
    """Without tables of positions, and without the mask tokens that V-JEPA 2's program never trains."""
    return {
        name: value
        for name, value in tensors.items()
        if not name.endswith("pos_embed")
        and not (version == VJEPA_2 and name.startswith("predictor.mask_tokens.") and not name.endswith(".0"))
    }


def _check_tables(tensors: Mapping[str, Tensor], hparams: Mapping[str, Any], where: str) -> None:
    """Refuse tables that are not V-JEPA's computed ones: these weights are of another model."""
    side = hparams["image_size"] // hparams["patch"]
    for name in ("encoder.pos_embed", "target_encoder.pos_embed", PREDICTOR_TABLE):
        table = tensors.get(name)
        if table is None:
            continue
        expected = sincos_3d(hparams["frames"] // 2, side, side, table.shape[-1])
        if table.shape[1:] != expected.shape or not torch.allclose(table[0].float(), expected, atol=1e-3):
            raise ValueError(
                f"{where}: {name} is not V-JEPA's table for {hparams['frames']} frames of {hparams['image_size']} "
                "pixels: give frames and image_size as it was trained"
            )
