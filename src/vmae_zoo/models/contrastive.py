"""Contrastive learning: projection MLPs with batch norm, and InfoNCE over the keys of all processes.

As in MoCo v3 (Chen, Xie, He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021, arXiv
2104.02057).

Shapes: B clips of this process, R processes, D = width of an embedding.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn


def projection_mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers without bias, each with batch norm and ReLU; the last without ReLU, its norm without affine part.

    Args:
        widths: of the input, the hidden layers and the output, for example (768, 4096, 4096, 256).
    """
    layers: list[nn.Module] = []
    last = len(widths) - 2
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(inputs, outputs, bias=False))
        layers += [nn.BatchNorm1d(outputs), nn.ReLU()] if index < last else [nn.BatchNorm1d(outputs, affine=False)]
    return nn.Sequential(*layers)


def info_nce(query_BD: Tensor, key_BD: Tensor, temperature: float) -> Tensor:
    """InfoNCE: ``2 T`` times the cross-entropy of the key of each query among the keys of all processes.

    Both are normalized here, and only the query has a gradient; cosine similarities are divided by the temperature T.
    """
    device = query_BD.device.type  # "meta" if only FLOPs are counted
    with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
        keys = all_gather(F.normalize(key_BD.detach().float(), dim=1))
        logits = F.normalize(query_BD.float(), dim=1) @ keys.T / temperature
        rank = distributed.get_rank() if distributed.is_initialized() else 0
        positive_B = torch.arange(len(query_BD), device=query_BD.device) + rank * len(query_BD)
        return 2 * temperature * F.cross_entropy(logits, positive_B)


def all_gather(rows_BD: Tensor) -> Tensor:
    """Rows of all processes, by rank: (R * B, D), without gradient; every process must have the same number."""
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return rows_BD
    parts = [torch.empty_like(rows_BD) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, rows_BD.contiguous())
    return torch.cat(parts)
