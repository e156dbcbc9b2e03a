"""The layout of Hugging Face transformers: VideoMAE, ViTMAE and TimeSformer, as version 4 and version 5 write them.

Names are mapped to those of the official programs, whose readers do the rest. The library has separate maps for query,
key and value. VideoMAE's two biases are called ``q_bias`` and ``v_bias`` in files of version 4 and of 5.23, and
``query.bias`` and ``value.bias`` in between. A key bias changes no attention weight (it adds the same number to all
scores of a query): VideoMAE has none, and that of a file is dropped.

The library's layer norms add 1e-12 to the variance (1e-5 before decoder head and classifier); here it is 1e-6, as in
the official programs that the published weights come from.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from vmae_zoo.methods.registry import resolve_method
from vmae_zoo.models.sizes import ENCODERS
from vmae_zoo.zoo.convert import hugging_face_jepa as jepa
from vmae_zoo.zoo.convert import mae, timesformer, videomae
from vmae_zoo.zoo.convert.prefixes import Pairs, inverted, join_qkv, rename_prefixes, split_qkv
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec

if TYPE_CHECKING:
    from vmae_zoo.methods.base import Method

# (ours, theirs) inside a block; the order matters in both directions
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


def matches(tensors: dict[str, Tensor]) -> bool:
    """All models of the library have the same name for the patch embedding."""
    return any("embeddings.patch_embeddings.projection." in name for name in tensors) or jepa.matches(tensors)


def read(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """Any of the models, complete or as a ``...Model`` without its head."""
    if jepa.matches(tensors):
        return with_classes(jepa.read(tensors, hints), hints)
    kind = detect_type(tensors, hints)
    if any(name.startswith("embeddings.") for name in tensors):
        tensors = {f"{kind}.{name}": value for name, value in tensors.items()}
    for key, supported in (("hidden_act", "gelu"), ("attention_type", "divided_space_time")):
        if hints.config.get(key, supported) != supported:
            raise ValueError(f"{hints.where} has {key} = {hints.config[key]}: only {supported} is supported")
    hints = with_config(hints)
    if kind == "timesformer":
        return with_classes(timesformer.read(official_names(tensors, TIMESFORMER), hints), hints)
    if kind == "vit":
        return mae.read(official_names(tensors, VIT_MAE), hints)
    return with_classes(read_videomae(official_names(tensors, VIDEOMAE), hints), hints)


def with_classes(spec: ModelSpec, hints: LoadHints) -> ModelSpec:
    """The model with the names of its classes, if the config has any but the library's placeholders."""
    labels = hints.config.get("id2label") or {}
    names = tuple(str(labels.get(str(n))) for n in range(spec.hparams.get("num_classes", 0)))
    if len(labels) != len(names) or names == tuple(f"LABEL_{n}" for n in range(len(names))):
        return spec
    return replace(spec, hparams={**spec.hparams, "classes": names})


def detect_type(tensors: dict[str, Tensor], hints: LoadHints) -> str:
    """The library's name for the model: videomae, vit or timesformer."""
    for kind in ("videomae", "timesformer", "vit"):
        if any(name.startswith(f"{kind}.") for name in tensors):
            return kind
    return {"vit_mae": "vit", "timesformer": "timesformer"}.get(hints.config.get("model_type", ""), "videomae")


def with_config(hints: LoadHints) -> LoadHints:
    """The hints, completed by the config.

    Raises:
        ValueError: the config has another number of heads than the published model of this width and depth.
    """
    config = hints.config
    heads = config.get("num_attention_heads")
    published = {size.width: size.num_heads for size in ENCODERS.values()}.get(config.get("hidden_size", 0))
    if heads and hints.num_heads and hints.num_heads not in (heads, published):
        raise ValueError(
            f"{hints.where} has {heads} attention heads, and the model {hints.num_heads}: set num_heads={heads}"
        )
    for size in ENCODERS.values():
        same = (size.width, size.depth) == (config.get("hidden_size"), config.get("num_hidden_layers"))
        if same and heads and hints.num_heads is None and heads != size.num_heads:
            raise ValueError(
                f"{hints.where} has {heads} attention heads, and the published model of width {size.width} has "
                f"{size.num_heads}: give num_heads={size.num_heads} if it was converted from that, "
                f"num_heads={heads} if it was trained with {heads}"
            )
    return replace(
        hints,
        num_heads=hints.num_heads or heads,
        decoder_num_heads=hints.decoder_num_heads or config.get("decoder_num_attention_heads"),
        image_size=hints.image_size or config.get("image_size"),
        frames=hints.frames or config.get("num_frames"),
    )


def official_names(tensors: dict[str, Tensor], roots: Pairs) -> dict[str, Tensor]:
    """The weights under the names of the official program; query, key and value in one map."""
    tensors = rename_prefixes(join_qkv(tensors, QKV), inverted(roots))
    for ours, theirs in LEAVES:
        tensors = {name.replace(theirs, ours): value for name, value in tensors.items()}
    return tensors


def read_videomae(tensors: dict[str, Tensor], hints: LoadHints) -> ModelSpec:
    """VideoMAE: its biases are renamed, the rest is as in the official program."""
    bias = {".attn.query.bias": ".attn.q_bias", ".attn.value.bias": ".attn.v_bias"}
    renamed = {}
    for name, value in tensors.items():
        if name.endswith(".attn.qkv.bias"):
            stem = name.removesuffix("qkv.bias")
            renamed[stem + "q_bias"], _, renamed[stem + "v_bias"] = value.chunk(3)
        elif not name.endswith(".attn.key.bias"):
            renamed[next((name.replace(old, new) for old, new in bias.items() if name.endswith(old)), name)] = value
    spec = videomae.read(renamed, hints)
    hparams = dict(spec.hparams)
    if spec.task == "pretrain":
        hparams["final_norm"] = "encoder.norm.weight" in renamed
        hparams["normalise_target"] = hints.config.get("norm_pix_loss", True)
    return replace(spec, hparams=hparams, preprocessing=jepa.preprocessing_of(hints.config.get("processor", {})))


def write(model: "Method") -> dict[str, Tensor]:
    """The weights of a VideoMAE, VideoMAEv2, MGMAE, MAE, VJEPA, or a Classifier with joint or divided attention."""
    if is_a(model, "VJEPA") or model.hparams.get("pool") == "attentive":
        return jepa.write(model)
    if is_a(model, "MAE"):
        return split_qkv(rename_leaves(mae.write(model), VIT_MAE), QKV)
    if model.encoder.attention == "divided":
        weights = {name.removeprefix("model."): value for name, value in timesformer.write(model).items()}
        return rename_leaves(weights, TIMESFORMER)
    return split_qkv(rename_leaves(dict(model.state_dict()), VIDEOMAE), QKV)


def is_a(model: "Method", method: str) -> bool:
    """Whether a model is of a method of this package, or of a class derived from it."""
    return isinstance(model, resolve_method(method))


def rename_leaves(tensors: dict[str, Tensor], roots: Pairs) -> dict[str, Tensor]:
    """The weights under the library's names."""
    for ours, theirs in LEAVES:
        tensors = {name.replace(ours, theirs): value for name, value in tensors.items()}
    return rename_prefixes(tensors, roots)


def config_of(model: Any) -> dict[str, Any]:
    """``config.json`` for the library."""
    if is_a(model, "VJEPA"):
        return jepa.config_of(model)
    if model.hparams.get("pool") == "attentive":
        return jepa.classifier_config_of(model) | {"id2label": labels_of(model)}
    encoder, pretrain = model.encoder, model.task == "pretrain"
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
    if pretrain:
        config |= {
            "decoder_hidden_size": model.encoder_to_decoder.out_features,
            "decoder_num_hidden_layers": len(model.decoder.blocks),
            "decoder_num_attention_heads": model.decoder.blocks[0].attn.heads,
            "decoder_intermediate_size": model.decoder.blocks[0].mlp.fc1.out_features,
            "norm_pix_loss": model.hparams["normalise_target"],
        }
    if is_a(model, "MAE"):
        return config | {"model_type": "vit_mae", "architectures": ["ViTMAEForPreTraining"]}
    config["num_frames"] = encoder.grid.pixels[0]
    if not pretrain:
        config["id2label"] = labels_of(model)
    if encoder.attention == "divided":
        return config | {"model_type": "timesformer", "architectures": ["TimesformerForVideoClassification"]}
    config |= {
        "model_type": "videomae",
        "tubelet_size": encoder.grid.cube[0],
        "use_mean_pooling": not isinstance(encoder.norm, nn.LayerNorm),
    }
    return config | {"architectures": ["VideoMAEForPreTraining" if pretrain else "VideoMAEForVideoClassification"]}


def labels_of(model: Any) -> dict[str, str]:
    """Names of the classes by label, or the library's placeholders."""
    names = model.classes or [f"LABEL_{label}" for label in range(model.head.out_features)]
    return {str(label): name for label, name in enumerate(names)}
