"""V-JEPA 2 in the layout of Hugging Face transformers (``VJEPA2Model``).

A file holds one encoder, and does not state whether it was the context or the target encoder. Its rotary frequencies
are tiled, as in the released weights. Its predictor takes mask token 1 of ten, but the official program trains token 0:
token 0 is read, and written as all ten, so that the library's predictor computes the same.
"""

from typing import Any

import torch
from torch import Tensor

from vmae_zoo.models.rotary import RotaryPosEmbed
from vmae_zoo.zoo.convert.prefixes import inverted, join_qkv, rename_prefixes, split_qkv
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec, depth_of, mlp_ratio_of, patch_embed_shape, size_name

ROOTS = (  # (ours, theirs)
    ("encoder.patch_embed.proj.", "encoder.embeddings.patch_embeddings.proj."),
    ("encoder.blocks.", "encoder.layer."),
    ("encoder.norm.", "encoder.layernorm."),
    ("predictor.embed.", "predictor.embeddings.predictor_embeddings."),
    ("predictor.blocks.", "predictor.layer."),
    ("predictor.norm.", "predictor.layernorm."),
)
MASK_TOKENS = "predictor.embeddings.mask_tokens"
QKV = ("query", "key", "value")
CONFIG = {  # theirs: ours
    "num_attention_heads": "num_heads",
    "pred_num_attention_heads": "predictor_num_heads",
    "crop_size": "image_size",
    "frames_per_clip": "frames",
}


def matches(tensors: dict[str, Tensor]) -> bool:
    """Only V-JEPA 2 has this name for the patch embedding."""
    return any(name.endswith("encoder.embeddings.patch_embeddings.proj.weight") for name in tensors)


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """The encoder, used as context and target encoder, and the predictor if the file has it."""
    tensors = {name.removeprefix("vjepa2."): value for name, value in tensors.items()}
    if any(name.startswith("pooler.") for name in tensors):
        tensors = {name: value for name, value in tensors.items() if not name.startswith(("pooler.", "classifier."))}
    weights = rename_prefixes(join_qkv(tensors, QKV), inverted(ROOTS))
    weights = {name.replace(".attention.", ".attn."): value for name, value in weights.items()}
    if MASK_TOKENS in weights:
        weights["predictor.mask_tokens.0"] = weights.pop(MASK_TOKENS)[0]
    stated = {ours: hints.config.get(theirs) for theirs, ours in CONFIG.items()}
    width, patch = patch_embed_shape(weights, "encoder.patch_embed.proj.weight", hints, frames=2)
    depth = depth_of(weights, "encoder.blocks.")
    hparams: dict[str, Any] = {
        "size": size_name(width, depth),
        "frames": hints.frames or stated["frames"] or 64,
        "image_size": hints.image_size or stated["image_size"] or 256,
        "width": width,
        "depth": depth,
        "num_heads": hints.num_heads or stated["num_heads"] or width // 64,
        "mlp_ratio": mlp_ratio_of(width, len(weights["encoder.blocks.0.mlp.fc1.weight"])),
        "patch": patch,
        "position": "rope",
        "rope_frequencies": "tiled",
        "mask_tokens": "shared",
    }
    if "predictor.embed.weight" in weights:
        hparams |= {
            "predictor_width": len(weights["predictor.embed.weight"]),
            "predictor_depth": depth_of(weights, "predictor.blocks."),
            "predictor_num_heads": hints.decoder_num_heads or stated["predictor_num_heads"] or 12,
        }
    weights |= {f"target_{name}": value for name, value in weights.items() if name.startswith("encoder.")}
    note = "the file holds one encoder, read as context and target encoder"
    return ModelSpec(
        "VJEPA",
        hparams,
        weights,
        preprocessing(hints.config.get("processor", {})),
        encoder_name="target_encoder",
        note=note,
    )


def write(model: Any) -> dict[str, Tensor]:
    """The weights of a VJEPA with rotary positions, its target encoder as the encoder.

    Raises:
        ValueError: the library has no network for its positions or mask tokens.
    """
    positions = model.encoder.positions
    kind = positions.frequencies if isinstance(positions, RotaryPosEmbed) else positions.kind
    if kind != "tiled" or model.hparams["mask_tokens"] != "shared":
        raise ValueError(
            "transformers' V-JEPA 2 computes rotary positions with tiled frequencies and has one mask token: "
            f"this model has {kind} ones, mask_tokens = {model.hparams['mask_tokens']}; convert it to vmae_zoo"
        )
    weights = {n: v for n, v in model.state_dict().items() if not n.startswith("encoder.")}
    weights = {name.removeprefix("target_"): value for name, value in weights.items()}
    token_111D = weights.pop("predictor.mask_tokens.0")
    named = {name.replace(".attn.", ".attention."): value for name, value in weights.items()}
    named = rename_prefixes(split_qkv(named, QKV), ROOTS)
    return named | {MASK_TOKENS: torch.stack([token_111D] * 10)}


def config_of(model: Any) -> dict[str, Any]:
    """``config.json`` for the library."""
    encoder, predictor = model.target_encoder, model.predictor
    return {
        "model_type": "vjepa2",
        "architectures": ["VJEPA2Model"],
        "patch_size": encoder.grid.cube[1],
        "tubelet_size": encoder.grid.cube[0],
        "crop_size": encoder.grid.pixels[1],
        "image_size": encoder.grid.pixels[1],
        "frames_per_clip": encoder.grid.pixels[0],
        "hidden_size": encoder.width,
        "num_hidden_layers": len(encoder.blocks),
        "num_attention_heads": encoder.blocks[0].attn.heads,
        "mlp_ratio": encoder.settings["mlp_ratio"],
        "pred_hidden_size": predictor.embed.out_features,
        "pred_num_hidden_layers": len(predictor.blocks),
        "pred_num_attention_heads": predictor.blocks[0].attn.heads,
        "pred_mlp_ratio": 4.0,
        "pred_num_mask_tokens": 10,
    }


def preprocessing(processor: dict[str, Any]) -> dict[str, Any]:
    """Mean and standard deviation in the library's ``preprocessor_config.json``, if it states them."""
    pairs = (("mean", "image_mean"), ("std", "image_std"))
    return {ours: processor[theirs] for ours, theirs in pairs if theirs in processor}
