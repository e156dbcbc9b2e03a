"""Parameter groups of the optimizer: weight decay and layer-wise learning rates."""

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
    """Parameter groups of AdamW as in the official programs.

    There is no weight decay on 1-D parameters (biases, norms, layer scale) and those named in ``exempt``. With
    ``layer_decay`` d < 1 (fine-tuning; BEiT, arXiv 2106.08254) the learning rate of layer i is ``lr * d^(L + 1 - i)``:
    i = 0 for the patch embedding and the tokens, k + 1 for block k, L + 1 for everything else.

    Args:
        module: module whose trainable parameters are grouped.
        weight_decay: of the parameters with weight decay.
        lr: learning rate of the last layer.
        exempt: last components of parameter names without weight decay, for example "mask_token".
        layer_decay: factor between layers; 1.0 for the same rate in all of them.
        depth: number L of blocks of the encoder.
        decay_all: apply weight decay to every parameter (MoCo v3, TimeSformer).
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
    return 0 if name.startswith(("patch_embed", "cls_token", "mask_token", "pos_embed", "positions")) else depth + 1
