"""Attentive probe: a learned query attends to all tokens of a frozen encoder, and a linear head classifies the result.

* One block, the protocol of V-JEPA (Bardes et al., "Revisiting Feature Prediction for Learning Visual Representations
  from Video", 2024, arXiv 2404.08471): cross-attention from one query, then an MLP, both residual. V-JEPA gains about
  17 points on Kinetics-400 over the mean of its tokens.
* More blocks, the protocol of V-JEPA 2 (Assran et al., 2025, arXiv 2506.09985, 4 blocks): self-attention blocks before
  the cross-attention, see `vmae_zoo.models.pooler`; 20 heads; weight decay on all parameters.

The tokens of all clips of a video are attended together; probabilities are averaged over crops. Different from the
official programs: tokens of fixed views are computed once, and a held-out part of the training set selects learning
rate and weight decay, as in every probe of this package.

Shapes: R videos, V views (segments x crops), N tokens, D = width, H pools, h attention heads of each, a = H x h, K
classes; S samples (videos x crops).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from tqdm import tqdm

from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.probe import Settings, Sweep, batches
from vmae_zoo.models.blocks import Mlp, init_truncated
from vmae_zoo.models.pooler import AttentivePooler, pooler_heads

SWEEP = Sweep(
    learning_rates=(3e-3, 1e-3, 3e-4, 1e-4), weight_decays=(0.01, 0.1), epochs=20, min_steps=300, batch_size=128
)
VJEPA2_SWEEP = Sweep(  # 20 heads, as published
    learning_rates=(5e-3, 3e-3, 1e-3, 3e-4, 1e-4),
    weight_decays=(0.01, 0.1, 0.4, 0.8),
    epochs=20,
    min_steps=300,
    batch_size=256,
)

MAX_BYTES_IN_MEMORY = 2**30  # of training tokens; more are read from disk for every batch


class AttentivePool(nn.Module):
    """Attention from one learned query over tokens, and a head.

    With a single query, keys and values of the tokens need not be computed: the scores of an attention head are the
    products of the tokens with one vector, the query mapped back through the key projection, and its output is the
    value projection of the tokens' weighted mean. A key bias would shift all scores of a head equally, which softmax
    ignores, so there is none.
    """

    def __init__(self, dim: int, heads: int, classes: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, dim), std=0.02))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q, self.k, self.v = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.proj, self.mlp, self.head = nn.Linear(dim, dim), Mlp(dim, 4 * dim), nn.Linear(dim, classes)
        self.apply(init_truncated)

    def query_keys(self) -> Tensor:
        """Query of each head times its key projection (h, D), for tokens after `layer_norm_tokens`."""
        q_h1d, k_hdD = (
            rearrange(each, "(h d) x -> h d x", h=self.heads) for each in (self.q(self.query).T, self.k.weight)
        )
        return (q_h1d * k_hdD).sum(1) * self.norm1.weight / math.sqrt(k_hdD.shape[1])

    def forward(self, mean_BhD: Tensor) -> Tensor:
        """Logits (B, K) from the weighted mean of the layer-normed tokens of each attention head."""
        mean_BhD = mean_BhD * self.norm1.weight + self.norm1.bias
        v_hdD = rearrange(self.v.weight, "(h d) x -> h d x", h=self.heads)
        value_BD = torch.einsum("bhx,hdx->bhd", mean_BhD, v_hdD).flatten(1) + self.v.bias
        x_BD = self.query + self.proj(value_BD)
        return self.head(x_BD + self.mlp(self.norm2(x_BD)))


class DeepPool(nn.Module):
    """The pooler of V-JEPA 2 and a head."""

    def __init__(self, dim: int, depth: int, classes: int):
        super().__init__()
        self.pooler = AttentivePooler(dim, pooler_heads(dim), depth)
        self.head = nn.Linear(dim, classes)
        init_truncated(self.head)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.head(self.pooler(tokens_BND))


def stack_tokens(tokens: Sequence[np.ndarray], device: torch.device, segments: int = 1) -> Tensor:
    """Tokens (V, N, D) of some videos, all segments in one sequence: float32 (R, crops, segments N, D)."""
    values_RVND = torch.from_numpy(np.stack([np.asarray(each, np.float32) for each in tokens])).to(device)
    return rearrange(values_RVND, "r (s c) n d -> r c (s n) d", s=segments)


def layer_norm_tokens(tokens_BND: Tensor) -> Tensor:
    """Normalize each token to mean 0 and variance 1."""
    return F.layer_norm(tokens_BND, tokens_BND.shape[-1:])


def logits_of(pools: Sequence[AttentivePool], tokens_BND: Tensor) -> Tensor:
    """Logits (H, B, K) of all pools in one pass over tokens from `layer_norm_tokens`."""
    keys_HhD = torch.stack([pool.query_keys() for pool in pools])
    weight_BNa = (tokens_BND @ keys_HhD.flatten(0, 1).T).softmax(1)
    mean_BHhD = (weight_BNa.transpose(1, 2) @ tokens_BND).unflatten(1, keys_HhD.shape[:2])
    return torch.stack([pool(mean_BHhD[:, index]) for index, pool in enumerate(pools)])


class AttentiveHeads:
    """Pools side by side."""

    def __init__(self, pools: Sequence[nn.Module], device: torch.device, segments: int = 1):
        self.pools, self.device, self.segments = pools, device, segments

    @torch.inference_mode()
    def __call__(self, features: Features) -> Tensor:
        """Probabilities (H, R, K), averaged over crops."""
        found = []
        for start in range(0, len(features.values), 16):
            tokens_RCND = stack_tokens(features.values[start : start + 16], self.device, self.segments)
            logits = _logits(self.pools, tokens_RCND.flatten(0, 1)).unflatten(1, tokens_RCND.shape[:2])
            found.append(logits.softmax(3).mean(2))
        return torch.cat(found, dim=1).nan_to_num(0.0)


def _logits(pools: Sequence[nn.Module], tokens_BND: Tensor) -> Tensor:
    """Logits (H, B, K) of all pools."""
    if isinstance(pools[0], AttentivePool):
        return logits_of(pools, layer_norm_tokens(tokens_BND))  # type: ignore[arg-type]
    return torch.stack([pool(tokens_BND) for pool in pools])


def fit(
    train: Features,
    classes: int,
    settings: Sequence[Settings],
    sweep: Sweep,
    device: torch.device,
    *,
    blocks: int = 1,
    segments: int = 1,
) -> AttentiveHeads:
    """Train a pool for each pair of learning rate and weight decay, all on the same batches and initialization.

    ``blocks`` is 1 as in V-JEPA, or 4 as in V-JEPA 2; the tokens of the segments of a video are attended together.
    """
    views, _, width = train.values[0].shape
    crops = views // segments
    heads = max(width // 64, 1) if width % 64 == 0 else 1
    pools: list[nn.Module] = []
    for _ in settings:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sweep.seed)
            pool = AttentivePool(width, heads, classes) if blocks == 1 else DeepPool(width, blocks - 1, classes)
            pools.append(pool.to(device))
    groups = [group for pair in zip(pools, settings, strict=True) for group in _groups(*pair)]
    optimizer = torch.optim.AdamW(groups, fused=True)
    label_S = train.labels().repeat_interleave(crops)
    fits = 4 * train.values[0].size * len(train.values) <= MAX_BYTES_IN_MEMORY
    all_SND = stack_tokens(train.values, device, segments).flatten(0, 1) if fits else None
    steps = tqdm(total=sweep.steps(len(label_S))[1], desc="heads", unit="step", disable=None, leave=False)
    for progress, ids in batches(len(label_S), sweep, torch.device("cpu")):
        if all_SND is not None:
            tokens_BND = all_SND[ids.to(device)]
        else:
            rows, crop_B = ids // crops, ids % crops
            tokens_BCND = stack_tokens([train.values[row] for row in rows.tolist()], device, segments)
            tokens_BND = tokens_BCND[torch.arange(len(ids), device=device), crop_B.to(device)]
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * 0.5 * (1 + math.cos(math.pi * progress))
        optimizer.zero_grad(set_to_none=True)
        label_B = label_S[ids].to(device)
        for some in [pools] if blocks == 1 else [[pool] for pool in pools]:  # deep pools one by one: less memory
            logits_BK = _logits(some, tokens_BND).flatten(0, 1)
            F.cross_entropy(logits_BK, label_B.repeat(len(some)), reduction="sum").div(len(ids)).backward()
        optimizer.step()
        steps.update()
    steps.close()
    return AttentiveHeads(pools, device, segments)


def _groups(pool: nn.Module, settings: Settings) -> list[dict[str, Any]]:
    """One block: weight decay on matrices, none on the query, biases and norms. More blocks: on all parameters."""
    lr = settings["learning_rate"]
    shared = {"lr": lr, "initial_lr": lr}
    if not isinstance(pool, AttentivePool):
        return [{"params": list(pool.parameters()), "weight_decay": settings["weight_decay"], **shared}]
    no_decay = [value for value in pool.parameters() if value.ndim == 1 or value is pool.query]
    matrices = [value for value in pool.parameters() if value.ndim > 1 and value is not pool.query]
    return [
        {"params": matrices, "weight_decay": settings["weight_decay"], **shared},
        {"params": no_decay, "weight_decay": 0.0, **shared},
    ]
