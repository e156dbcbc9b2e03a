"""V-JEPA 2 as transformers writes it: ``VJEPA2Model`` and ``VJEPA2ForVideoClassification``.

A file holds one encoder and does not state whether it was the context or the target encoder. Its rotary frequencies are
tiled, as in the released weights. Its predictor uses mask token 1 of ten, where the official program trains token 0:
token 0 is read, and all ten are written equal, so that the library computes the same.

A classifier file becomes a `Classifier` with ``pool="attentive"``; its predictor, which classification does not use, is
left out. Layer norms of the pooler add 1e-5 to the variance, as in the official program; the library adds 1e-6.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.rotary import RotaryPosEmbed
from vmae_zoo.zoo.convert.prefixes import inverted, join_qkv, rename_prefixes, split_qkv
from vmae_zoo.zoo.convert.spec import GIANT_WIDTH, LoadHints, ModelSpec, classifier_spec, depth_of, vjepa_shape

ROOTS = (  # (ours, theirs)
    ("encoder.patch_embed.proj.", "encoder.embeddings.patch_embeddings.proj."),
    ("encoder.blocks.", "encoder.layer."),
    ("encoder.norm.", "encoder.layernorm."),
    ("predictor.embed.", "predictor.embeddings.predictor_embeddings."),
    ("predictor.blocks.", "predictor.layer."),
    ("predictor.norm.", "predictor.layernorm."),
)
HEAD_ROOTS = (
    ("pooler.blocks.", "pooler.self_attention_layers."),
    ("pooler.cross_attention.", "pooler.cross_attention_layer."),
    ("head.", "classifier."),
)
HEAD_LEAVES = (
    (".attn.proj.", ".self_attn.out_proj."),
    (".attn.qkv.", ".self_attn.qkv."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
)
MASK_TOKENS = "predictor.embeddings.mask_tokens"
QKV = ("query", "key", "value")
HEAD_QKV = ("q_proj", "k_proj", "v_proj")
CROSS = "pooler.cross_attention."
GIANT_POOLER_HEADS = 16  # released probes of the giant; its config states the encoder's 22
CONFIG = {  # theirs: ours
    "num_attention_heads": "num_heads",
    "pred_num_attention_heads": "predictor_num_heads",
    "crop_size": "image_size",
    "frames_per_clip": "frames",
}


def matches(tensors: dict[str, Tensor]) -> bool:
    """The name of the patch embedding is unique to V-JEPA 2."""
    return any(name.endswith("encoder.embeddings.patch_embeddings.proj.weight") for name in tensors)


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """An encoder, used as context and target encoder, with its predictor if there is one; or a classifier."""
    tensors = {name.removeprefix("vjepa2."): value for name, value in tensors.items()}
    head = {name: tensors.pop(name) for name in list(tensors) if name.startswith(("pooler.", "classifier."))}
    weights = rename_prefixes(join_qkv(tensors, QKV), inverted(ROOTS))
    weights = {name.replace(".attention.", ".attn."): value for name, value in weights.items()}
    stated = {ours: hints.config.get(theirs) for theirs, ours in CONFIG.items()}
    hparams = vjepa_shape(weights, hints.but(num_heads=hints.num_heads or stated["num_heads"])) | {
        "frames": hints.frames or stated["frames"] or 64,
        "image_size": hints.image_size or stated["image_size"] or 256,
        "position": "rope",
        "rope_frequencies": "tiled",
    }
    preprocessing = preprocessing_of(hints.config.get("processor", {}))
    if head:
        return _classifier(head, weights, hparams, preprocessing)
    if MASK_TOKENS in weights:
        weights["predictor.mask_tokens.0"] = weights.pop(MASK_TOKENS)[0]
    hparams["mask_tokens"] = "shared"
    if "predictor.embed.weight" in weights:
        hparams |= {
            "predictor_width": len(weights["predictor.embed.weight"]),
            "predictor_depth": depth_of(weights, "predictor.blocks."),
            "predictor_num_heads": hints.decoder_num_heads or stated["predictor_num_heads"] or 12,
        }
    weights |= {f"target_{name}": value for name, value in weights.items() if name.startswith("encoder.")}
    note = "the file holds one encoder, read as context and target encoder; it does not state which it was"
    return ModelSpec("VJEPA", hparams, weights, preprocessing, encoder_name="target_encoder", note=note)


def _classifier(
    head: dict[str, Tensor], weights: dict[str, Tensor], hparams: dict[str, Any], preprocessing: dict[str, Any]
) -> ModelSpec:
    head = rename_prefixes(join_qkv(head, HEAD_QKV), inverted(HEAD_ROOTS))
    for ours, theirs in HEAD_LEAVES:
        head = {name.replace(theirs, ours): value for name, value in head.items()}
    for kind in ("weight", "bias"):
        joined = head.pop(f"{CROSS}cross_attn.qkv.{kind}")
        head[f"{CROSS}q.{kind}"], head[f"{CROSS}kv.{kind}"] = joined.split([len(joined) // 3, 2 * len(joined) // 3])
    width, heads = hparams["width"], hparams["num_heads"]
    hparams |= {
        "bias": "qkv",
        "pool": "attentive",
        "pooler_depth": depth_of(head, "pooler.blocks."),
        "pooler_num_heads": GIANT_POOLER_HEADS if width == GIANT_WIDTH else heads,
    }
    encoder = {name: value for name, value in weights.items() if name.startswith("encoder.")}
    spec = classifier_spec(hparams, encoder | head)
    note = "which encoder it was, context or target, the file does not state; its predictor is left out"
    return replace(spec, preprocessing=preprocessing, note=note)


def write(model: Any) -> dict[str, Tensor]:
    """The weights of a VJEPA (its target encoder as the encoder) or a `Classifier`, with rotary positions.

    Raises:
        ValueError: the library cannot compute the model's positions or mask tokens.
    """
    positions = model.encoder.positions
    kind = positions.frequencies if isinstance(positions, RotaryPosEmbed) else positions.kind
    mask_tokens = model.hparams.get("mask_tokens", "shared")
    if kind != "tiled" or mask_tokens != "shared":
        raise ValueError(
            "V-JEPA 2 of transformers has rotary positions with tiled frequencies and one mask token: "
            f"this model has {kind} ones, mask_tokens = {mask_tokens}; convert it to vmae_zoo"
        )
    if model.task == "classify":
        return _write_classifier(dict(model.state_dict()))
    weights = {n: v for n, v in model.state_dict().items() if not n.startswith("encoder.")}
    weights = {name.removeprefix("target_"): value for name, value in weights.items()}
    token_111D = weights.pop("predictor.mask_tokens.0")
    return _library_names(weights) | {MASK_TOKENS: torch.stack([token_111D] * 10)}


def _library_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    named = {name.replace(".attn.", ".attention."): value for name, value in weights.items()}
    return rename_prefixes(split_qkv(named, QKV), ROOTS)


def _write_classifier(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    encoder = {name: value for name, value in weights.items() if name.startswith("encoder.")}
    head = {name: value for name, value in weights.items() if name not in encoder}
    for kind in ("weight", "bias"):
        parts = [head.pop(f"{CROSS}{part}.{kind}") for part in ("q", "kv")]
        head[f"{CROSS}cross_attn.qkv.{kind}"] = torch.cat(parts)
    for ours, theirs in HEAD_LEAVES:
        head = {name.replace(ours, theirs): value for name, value in head.items()}
    head = rename_prefixes(split_qkv(head, HEAD_QKV), HEAD_ROOTS)
    return {f"vjepa2.{name}": value for name, value in _library_names(encoder).items()} | head


def _encoder_config(encoder: Encoder) -> dict[str, Any]:
    return {
        "model_type": "vjepa2",
        "patch_size": encoder.grid.cube[1],
        "tubelet_size": encoder.grid.cube[0],
        "crop_size": encoder.grid.pixels[1],
        "image_size": encoder.grid.pixels[1],
        "frames_per_clip": encoder.grid.pixels[0],
        "hidden_size": encoder.width,
        "num_hidden_layers": len(encoder.blocks),
        "num_attention_heads": encoder.settings["num_heads"],
        "mlp_ratio": encoder.settings["mlp_ratio"],
    }


def config_of(model: Any) -> dict[str, Any]:
    """``config.json`` of a VJEPA for the library."""
    predictor = model.predictor
    return _encoder_config(model.target_encoder) | {
        "architectures": ["VJEPA2Model"],
        "pred_hidden_size": predictor.embed.out_features,
        "pred_num_hidden_layers": len(predictor.blocks),
        "pred_num_attention_heads": predictor.blocks[0].attn.heads,
        "pred_mlp_ratio": 4.0,
        "pred_num_mask_tokens": 10,
    }


def classifier_config_of(model: Any) -> dict[str, Any]:
    """``config.json`` of a `Classifier`; ``ValueError`` if its pooler has other heads than its encoder."""
    heads, pooler_heads = model.encoder.settings["num_heads"], model.pooler.cross_attention.num_heads
    if pooler_heads != heads:
        raise ValueError(
            f"the pooler has {pooler_heads} attention heads and the encoder {heads}, and transformers gives both the "
            "same number: convert it to vmae_zoo"
        )
    return _encoder_config(model.encoder) | {
        "architectures": ["VJEPA2ForVideoClassification"],
        "num_pooler_layers": len(model.pooler.blocks),
    }


def preprocessing_of(processor: dict[str, Any]) -> dict[str, Any]:
    """Mean and standard deviation in the library's ``preprocessor_config.json``, if it states them."""
    pairs = (("mean", "image_mean"), ("std", "image_std"))
    return {ours: processor[theirs] for ours, theirs in pairs if theirs in processor}
