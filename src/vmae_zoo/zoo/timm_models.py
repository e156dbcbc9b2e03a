"""Image transformers of timm by name, ``timm:vit_base_patch16_224``: downloaded by timm, read as an encoder.

Any of timm's vision transformers whose arithmetic is that of `vmae_zoo.models.encoder.Encoder`: with a class token,
learned positions and GELU. Layer scale is folded into the weights. The features of one random image are compared with
timm's, so that no other architecture is read by mistake. Only this module imports timm, inside its functions.
"""

import difflib
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vmae_zoo.zoo.build import SkipInit, build_encoder, check_tensors, copy_tensors
from vmae_zoo.zoo.convert import timm_vit
from vmae_zoo.zoo.convert.spec import LoadHints, ModelSpec
from vmae_zoo.zoo.resolve import TIMM

TOLERANCE = 1e-3  # of features, relative to the largest


def read_timm(source: str, hints: LoadHints) -> tuple[ModelSpec, dict[str, Any]]:
    """The weights of "timm:NAME" and their origin.

    NAME may have a tag, "vit_base_patch16_224.augreg_in21k"; with ``frames`` above 1 the encoder is inflated to clips,
    see `vmae_zoo.zoo.convert.timm_vit`.

    Raises:
        ValueError: timm has no such model, cannot download it, or it is of another architecture.
    """
    model = _create(source)
    hints = hints.but(where=source, num_heads=model.blocks[0].attn.num_heads)
    tensors = fold_layer_scale(model.state_dict())
    tensors["pos_embed"] = _with_class_position(tensors, model)
    if not timm_vit.matches(tensors):
        raise _unsupported(source, "its patch embedding or attention differs")
    settings = {"mean": tuple(model.pretrained_cfg["mean"]), "std": tuple(model.pretrained_cfg["std"])}
    _compare(source, model, timm_vit.read(tensors, hints.but(frames=1, image_size=None)))
    spec = replace(timm_vit.read(tensors, hints), preprocessing=settings)
    licence = model.pretrained_cfg.get("license")
    return spec, {"source": source, "layout": "timm", "licence": licence, "revision": None, "sha256": None}


def fold_layer_scale(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Multiply the last linear map of each residual branch by its layer scale, which changes no output."""
    result = {name: value for name, value in tensors.items() if ".ls" not in name}
    for name, gamma_D in tensors.items():
        block, _, scale = name.partition(".ls")
        if scale:
            linear = f"{block}.attn.proj" if scale == "1.gamma" else f"{block}.mlp.fc2"
            result[f"{linear}.weight"] = result[f"{linear}.weight"] * gamma_D[:, None]
            result[f"{linear}.bias"] = result[f"{linear}.bias"] * gamma_D
    return result


def _create(source: str) -> Any:
    """The model with its pre-trained weights, in eval mode."""
    import timm
    from huggingface_hub import constants
    from timm.models.vision_transformer import VisionTransformer

    from vmae_zoo.zoo.hub_errors import friendly_errors

    name = source.removeprefix(TIMM)
    if not name.startswith("hf-hub:") and not timm.is_model(name.partition(".")[0]):
        close = difflib.get_close_matches(name.partition(".")[0], timm.list_models("vit_*"), n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else "`timm.list_models()` lists them"
        raise ValueError(f"{source}: timm has no such model: {hint}")
    try:
        with torch.random.fork_rng([]), friendly_errors(source, constants.ENDPOINT):  # a training keeps its seed
            model = timm.create_model(name, pretrained=True)
    except RuntimeError as error:
        raise ValueError(f"{source}: {error}") from None
    if not isinstance(model, VisionTransformer):
        raise _unsupported(source, f"it is a {type(model).__name__}")
    if model.cls_token is None or model.num_prefix_tokens != 1:
        raise _unsupported(source, f"it has {model.num_prefix_tokens} class and register tokens")
    return model.eval()


def _with_class_position(tensors: dict[str, Tensor], model: Any) -> Tensor:
    """The table of positions with that of the class token first; zeros if the model has none for it."""
    table_1ND = tensors["pos_embed"]
    if not model.no_embed_class:
        return table_1ND
    return torch.cat([torch.zeros_like(table_1ND[:, :1]), table_1ND], dim=1)


@torch.no_grad()
def _compare(source: str, model: Any, spec: ModelSpec) -> None:
    """``ValueError`` unless the encoder computes the model's features."""
    with SkipInit():
        encoder = build_encoder(spec, source).eval()
    expected = encoder.state_dict()
    given = {n.removeprefix("encoder."): value for n, value in spec.tensors.items() if n.startswith("encoder.")}
    if given.keys() != expected.keys():
        raise _unsupported(source, f"it has {sorted(given.keys() ^ expected.keys())[0]}")
    check_tensors(given, expected, source, "encoder")
    copy_tensors(given, expected, given)
    size = encoder.preprocessing.size
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    tokens, cls = encoder(image[:, :, None], return_cls=True)
    ours, theirs = torch.cat([cls[:, None], tokens], dim=1), model.forward_features(image)
    if not torch.allclose(ours, theirs, rtol=0, atol=TOLERANCE * theirs.abs().max().item()):
        raise _unsupported(source, "its features differ from those of the encoder with the same weights")


def _unsupported(source: str, reason: str) -> ValueError:
    return ValueError(
        f"{source}: {reason}; supported are vision transformers with one class token, learned positions and GELU"
    )
