"""The layout of Hugging Face transformers: VideoMAE, ViTMAE and TimeSformer, as version 4 and version 5 write them.

Names are turned into those of the official programs, whose readers do the rest. Query, key and value are three maps
there. VideoMAE's two biases are called ``q_bias`` and ``v_bias`` on disk in version 4 and again in 5.23, and
``query.bias`` and ``value.bias`` in between. A key bias changes no attention weight (it adds the same number to all
scores of a query), so VideoMAE has none and one that a file brings is dropped.

Layer norms add 1e-12 to the variance there (1e-5 before decoder head and classifier) and 1e-6 here, as in the official
programs that the published weights come from.
"""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from vmae_zoo.models.sizes import ENCODERS
from vmae_zoo.zoo.convert import hugging_face_jepa as jepa
from vmae_zoo.zoo.convert import mae, timesformer, videomae
from vmae_zoo.zoo.convert.renames import Pairs, joined_qkv, renamed, split_qkv, turned
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec

NAME = "transformers"

# (ours, theirs) inside a block; the order matters both ways
LEAVES = (
    (".temporal_attn.proj.", ".temporal_attention.output.dense."),
    (".temporal_attn.qkv.", ".temporal_attention.attention.qkv."),
    (".temporal_norm1.", ".temporal_layernorm."),
    (".temporal_fc.", ".temporal_dense."),
    (".attn.proj.", ".attention.output.dense."),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    (".attn.", ".attention.attention."),
)
VIDEOMAE = (
    ("encoder.patch_embed.proj.", "videomae.embeddings.patch_embeddings.projection."),
    ("encoder.blocks.", "videomae.encoder.layer."),
    ("encoder.norm.", "videomae.layernorm."),
    ("encoder.fc_norm.", "fc_norm."),
    ("decoder.blocks.", "decoder.decoder_layers."),
    ("head.", "classifier."),
)
VIT_MAE = (
    ("cls_token", "vit.embeddings.cls_token"),
    ("pos_embed", "vit.embeddings.position_embeddings"),
    ("patch_embed.proj.", "vit.embeddings.patch_embeddings.projection."),
    ("blocks.", "vit.encoder.layer."),
    ("norm.", "vit.layernorm."),
    ("decoder_blocks.", "decoder.decoder_layers."),  # version 4, and what version 5 reads too
    ("decoder_blocks.", "decoder.decoder_encoder.layer."),  # version 5
    ("decoder_", "decoder.decoder_"),
    ("mask_token", "decoder.mask_token"),
)
TIMESFORMER = (
    ("cls_token", "timesformer.embeddings.cls_token"),
    ("pos_embed", "timesformer.embeddings.position_embeddings"),
    ("time_embed", "timesformer.embeddings.time_embeddings"),
    ("patch_embed.proj.", "timesformer.embeddings.patch_embeddings.projection."),
    ("blocks.", "timesformer.encoder.layer."),
    ("norm.", "timesformer.layernorm."),
    ("head.", "classifier."),
)
QKV = ("query", "key", "value")


def recognises(tensors: dict[str, Tensor]) -> bool:
    """Every model of the library names its patch embedding alike."""
    return any("embeddings.patch_embeddings.projection." in name for name in tensors) or jepa.recognises(tensors)


def read(tensors: dict[str, Tensor], told: LoadHints) -> ModelSpec:
    """Any of the models, whole or as a bare ``...Model``."""
    if jepa.recognises(tensors):
        return jepa.read(tensors, told)
    kind = detect_type(tensors, told)
    if any(name.startswith("embeddings.") for name in tensors):
        tensors = {f"{kind}.{name}": value for name, value in tensors.items()}
    if told.config.get("hidden_act", "gelu") != "gelu":
        raise ValueError(f"{told.where} has {told.config['hidden_act']} in its MLPs: only gelu is known here")
    told = with_config(told)
    if kind == "timesformer":
        if told.config.get("attention_type", "divided_space_time") != "divided_space_time":
            raise ValueError(f"{told.where} has {told.config['attention_type']} attention: only divided is known here")
        return with_classes(timesformer.read(official_names(tensors, TIMESFORMER, joined="qkv"), told), told)
    if kind == "vit":
        return mae.read(official_names(tensors, VIT_MAE, joined="qkv"), told)
    return with_classes(read_videomae(official_names(tensors, VIDEOMAE, joined="qkv"), told), told)


def with_classes(described: ModelSpec, told: LoadHints) -> ModelSpec:
    """The names of the classes, where the config has them and not the library's stand-ins."""
    labels = told.config.get("id2label") or {}
    names = tuple(str(labels.get(str(n))) for n in range(described.hparams.get("num_classes", 0)))
    if len(labels) != len(names) or names == tuple(f"LABEL_{n}" for n in range(len(names))):
        return described
    return replace(described, hparams={**described.hparams, "classes": names})


def detect_type(tensors: dict[str, Tensor], told: LoadHints) -> str:
    """The library's word for the model inside: videomae, vit or timesformer."""
    for kind in ("videomae", "timesformer", "vit"):
        if any(name.startswith(f"{kind}.") for name in tensors):
            return kind
    return {"vit_mae": "vit", "timesformer": "timesformer"}.get(told.config.get("model_type", ""), "videomae")


def with_config(told: LoadHints) -> LoadHints:
    """What the config says where the caller says nothing.

    Raises:
        ValueError: it says another number of heads than the published model of this width and depth has.
    """
    config = told.config
    heads = config.get("num_attention_heads")
    for size in ENCODERS.values():
        same = (size.width, size.depth) == (config.get("hidden_size"), config.get("num_hidden_layers"))
        if same and heads and told.num_heads is None and heads != size.num_heads:
            raise ValueError(
                f"{told.where} says {heads} attention heads, and the published model of width {size.width} has "
                f"{size.num_heads}: give num_heads={size.num_heads} if it was converted from that, "
                f"num_heads={heads} if it was trained so"
            )
    return replace(
        told,
        num_heads=told.num_heads or heads,
        decoder_num_heads=told.decoder_num_heads or config.get("decoder_num_attention_heads"),
        image_size=told.image_size or config.get("image_size"),
        frames=told.frames or config.get("num_frames"),
    )


def official_names(tensors: dict[str, Tensor], roots: Pairs, joined: str) -> dict[str, Tensor]:
    """The names of the official program; query, key and value in one."""
    tensors = renamed(joined_qkv(tensors, QKV, joined), turned(roots))
    for ours, theirs in LEAVES:
        tensors = {name.replace(theirs, ours): value for name, value in tensors.items()}
    return tensors


def read_videomae(tensors: dict[str, Tensor], told: LoadHints) -> ModelSpec:
    """VideoMAE: biases first, then as the official program's."""
    bias = {".attn.query.bias": ".attn.q_bias", ".attn.value.bias": ".attn.v_bias", ".attn.qkv.bias": ".attn.qkv.bias"}
    named = {}
    for name, value in tensors.items():
        if name.endswith(".attn.qkv.bias"):
            stem = name.removesuffix("qkv.bias")
            named[stem + "q_bias"], _, named[stem + "v_bias"] = value.chunk(3)
        elif not name.endswith(".attn.key.bias"):
            named[next((name.replace(old, new) for old, new in bias.items() if name.endswith(old)), name)] = value
    described = videomae.read(named, told)
    hparams = dict(described.hparams)
    if described.method != "Classifier":
        hparams["final_norm"] = "encoder.norm.weight" in named
        hparams["normalise_target"] = told.config.get("norm_pix_loss", True)
    preprocessing = {
        ours: told.config["processor"][theirs]
        for ours, theirs in (("mean", "image_mean"), ("std", "image_std"))
        if theirs in told.config.get("processor", {})
    }
    return replace(described, hparams=hparams, preprocessing=preprocessing)


def write(model: Any) -> dict[str, Tensor]:
    """The weights of a VideoMAE, VideoMAEv2, MGMAE, MAE, or a Classifier with either attention."""
    if type(model).__name__ == "VJEPA":
        return jepa.write(model)
    if type(model).__name__ == "MAE":
        return hf_names(mae.write(model), VIT_MAE)
    if model.encoder.attention == "divided":
        weights = {name.removeprefix("model."): value for name, value in timesformer.write(model).items()}
        return renamed_leaves(weights, TIMESFORMER)
    return hf_names(dict(model.state_dict()), VIDEOMAE)


def hf_names(tensors: dict[str, Tensor], roots: Pairs) -> dict[str, Tensor]:
    """The library's names; query, key and value apart."""
    return split_qkv(renamed_leaves(tensors, roots), QKV)


def renamed_leaves(tensors: dict[str, Tensor], roots: Pairs) -> dict[str, Tensor]:
    """The library's names."""
    for ours, theirs in LEAVES:
        tensors = {name.replace(ours, theirs): value for name, value in tensors.items()}
    return renamed(tensors, roots)


def config_of(model: Any) -> dict[str, Any]:
    """``config.json`` for the library."""
    if type(model).__name__ == "VJEPA":
        return jepa.config_of(model)
    encoder = model.encoder
    block = encoder.blocks[0]
    config = {
        "hidden_size": encoder.width,
        "num_hidden_layers": len(encoder.blocks),
        "num_attention_heads": block.attn.heads,
        "intermediate_size": block.mlp.fc1.out_features,
        "layer_norm_eps": block.norm1.eps,
        "image_size": encoder.grid.pixels[1],
        "patch_size": encoder.grid.cube[1],
    }
    if hasattr(model, "decoder"):
        config |= {
            "decoder_hidden_size": model.encoder_to_decoder.out_features,
            "decoder_num_hidden_layers": len(model.decoder.blocks),
            "decoder_num_attention_heads": model.decoder.blocks[0].attn.heads,
            "decoder_intermediate_size": model.decoder.blocks[0].mlp.fc1.out_features,
            "norm_pix_loss": model.hparams["normalise_target"],
        }
    if type(model).__name__ == "MAE":
        return config | {"model_type": "vit_mae", "architectures": ["ViTMAEForPreTraining"]}
    labels = {} if hasattr(model, "decoder") else {str(n): name for n, name in enumerate(class_names(model))}
    config |= {"num_frames": encoder.grid.pixels[0], **({"id2label": labels} if labels else {})}
    if encoder.attention == "divided":
        return config | {"model_type": "timesformer", "architectures": ["TimesformerForVideoClassification"]}
    config |= {
        "model_type": "videomae",
        "tubelet_size": encoder.grid.cube[0],
        "use_mean_pooling": not isinstance(encoder.norm, nn.LayerNorm),
    }
    kind = "VideoMAEForPreTraining" if hasattr(model, "decoder") else "VideoMAEForVideoClassification"
    return config | {"architectures": [kind]}


def class_names(model: Any) -> list[str]:
    """Names of the classes, or the library's stand-ins."""
    return model.classes or [f"LABEL_{label}" for label in range(model.head.out_features)]
