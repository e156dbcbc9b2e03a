"""Attentive probe: a learnt query looks at all tokens of a frozen encoder, a linear map classifies what it sees.

The protocol of V-JEPA (Bardes et al., "Revisiting Feature Prediction for Learning Visual Representations from Video",
2024, arXiv 2404.08471): cross-attention from one query, then an MLP, both residual, then the head; AdamW. Averaging the
tokens instead hides what they hold: V-JEPA gains about 17 points on Kinetics-400 by attending. Different here: tokens
are computed once, views are averaged as probabilities instead of being attended to together, and as in every probe of
this package a held-back part of the training set chooses the learning rate and weight decay.

Shapes: R videos, V views, N tokens, D = width, H heads, K classes.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.probe import Settings, Sweep, batches
from vmae_zoo.models.blocks import Mlp, init_truncated

SWEEP = Sweep(
    learning_rates=(3e-3, 1e-3, 3e-4, 1e-4), weight_decays=(0.01, 0.1), epochs=20, least_steps=300, batch_size=128
)


class AttentivePool(nn.Module):
    """One query over tokens, and a head.

    Args:
        dim: width D.
        heads: attention heads.
        classes: K.
    """

    def __init__(self, dim: int, heads: int, classes: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.head = nn.Linear(dim, classes)
        self.apply(init_truncated)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Logits (B, K)."""
        query_B1D = self.query.expand(len(tokens_BND), -1, -1)
        keys_values = self.kv(self.norm1(tokens_BND))
        k_BhNd, v_BhNd = rearrange(keys_values, "b n (two h d) -> two b h n d", two=2, h=self.heads)
        q_Bh1d = rearrange(self.q(query_B1D), "b n (h d) -> b h n d", h=self.heads)
        seen = rearrange(F.scaled_dot_product_attention(q_Bh1d, k_BhNd, v_BhNd), "b h n d -> b n (h d)")
        x_B1D = query_B1D + self.proj(seen)
        x_B1D = x_B1D + self.mlp(self.norm2(x_B1D))
        return self.head(x_B1D[:, 0])


class AttentiveHeads:
    """Pools side by side.

    Args:
        pools: one per head.
        device: where they are.
    """

    def __init__(self, pools: nn.ModuleList, device: torch.device):
        self.pools, self.device = pools, device

    @torch.inference_mode()
    def __call__(self, features: Features) -> Tensor:
        """Probabilities (H, R, K), averaged over views."""
        self.pools.eval()
        each = []
        for start in range(0, len(features.values), 16):
            values = np.stack([np.asarray(value, np.float32) for value in features.values[start : start + 16]])
            tokens = torch.from_numpy(values).to(self.device)
            logits = torch.stack([pool(tokens.flatten(0, 1)) for pool in self.pools]).unflatten(1, tokens.shape[:2])
            each.append(logits.softmax(3).mean(2))
        return torch.cat(each, dim=1).nan_to_num(0.0)


def fit(
    train: Features, classes: int, settings: Sequence[Settings], sweep: Sweep, device: torch.device
) -> AttentiveHeads:
    """Train a pool per learning rate and weight decay: AdamW, the same batches and the same start for all."""
    views, _, width = train.values[0].shape
    heads = max(width // 64, 1) if width % 64 == 0 else 1
    pools = nn.ModuleList()
    for _ in settings:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sweep.seed)
            pools.append(AttentivePool(width, heads, classes))
    pools.to(device).train()
    optimizers = [
        torch.optim.AdamW(
            [
                {
                    "params": [p for p in pool.parameters() if p.ndim > 1 and p is not pool.query],
                    "weight_decay": one["weight_decay"],
                },
                {"params": [p for p in pool.parameters() if p.ndim == 1 or p is pool.query], "weight_decay": 0.0},
            ],
            lr=one["learning_rate"],
        )
        for pool, one in zip(pools, settings, strict=True)
    ]
    label_M = train.labels().repeat_interleave(views)
    for progress, ids in batches(len(label_M), sweep, torch.device("cpu")):
        places = [divmod(sample, views) for sample in ids.tolist()]
        tokens = np.stack([np.asarray(train.values[row][view], np.float32) for row, view in places])
        tokens_BND, label_B = torch.from_numpy(tokens).to(device), label_M[ids].to(device)
        for pool, optimizer, one in zip(pools, optimizers, settings, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = one["learning_rate"] * 0.5 * (1 + math.cos(math.pi * progress))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(pool(tokens_BND), label_B).backward()
            optimizer.step()
    return AttentiveHeads(pools, device)
