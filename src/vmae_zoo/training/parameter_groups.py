"""Which parameters decay, and how fast each layer learns."""

from collections.abc import Iterable
from typing import Any

from torch import nn


def parameter_groups(
    module: nn.Module,
    weight_decay: float,
    *,
    lr: float,
    exempt: Iterable[str] = (),
    layer_decay: float = 1.0,
    depth: int = 0,
    decay_all: bool = False,
) -> list[dict[str, Any]]:
    """AdamW groups as the official programs make them.

    One-dimensional parameters (biases, norms, layer scale) and those named in ``exempt`` do not decay. With
    ``layer_decay`` d < 1 (fine-tuning) the rate of layer i of L is ``lr * d^(L + 1 - i)``: i = 0 for the patch
    embedding and the tokens, k + 1 for block k, L + 1 for all else.

    Args:
        module: whose trainable parameters to group.
        weight_decay: of the parameters that decay.
        lr: the full rate.
        exempt: last parts of names that do not decay, for example "mask_token".
        layer_decay: 1.0 trains all layers alike.
        depth: blocks of the encoder, L.
        decay_all: every parameter decays (MoCo v3, TimeSformer).
    """
    exempt = set(exempt)
    groups: dict[tuple[bool, float], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        last = name.rsplit(".", 1)[-1]
        decays = decay_all or (parameter.ndim > 1 and last != "bias" and last not in exempt)
        scale = layer_decay ** (depth + 1 - _layer(name, depth)) if layer_decay < 1 else 1.0
        group = groups.setdefault(
            (decays, scale), {"params": [], "lr": lr * scale, "weight_decay": weight_decay if decays else 0.0}
        )
        group["params"].append(parameter)
    return list(groups.values())


def _layer(name: str, depth: int) -> int:
    name = name.removeprefix("encoder.")
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1
    first = name.startswith("patch_embed") or name.split(".")[0] in {
        "cls_token",
        "pos_embed",
        "mask_token",
        "positions",
    }
    return 0 if first else depth + 1
