"""Attentive probe: a learnt query looks at all tokens of a frozen encoder, a linear map classifies what it sees.

The protocol of V-JEPA (Bardes et al., "Revisiting Feature Prediction for Learning Visual Representations from Video",
2024, arXiv 2404.08471): cross-attention from one query, then an MLP, both residual, then the head; AdamW. Averaging the
tokens instead hides what they hold: V-JEPA gains about 17 points on Kinetics-400 by attending. Different here: tokens
are computed once, views are averaged as probabilities instead of being attended to together, and as in every probe of
this package a held-back part of the training set chooses the learning rate and weight decay.

Shapes: R videos, V views, N tokens, D = width, H pools, h attention heads of each, a = H x h, K classes.
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

SWEEP = Sweep(
    learning_rates=(3e-3, 1e-3, 3e-4, 1e-4), weight_decays=(0.01, 0.1), epochs=20, least_steps=300, batch_size=128
)

FEW = 2**30  # bytes of training tokens that are held in memory; more of them are read again for every batch


class AttentivePool(nn.Module):
    """One query over tokens, and a head.

    With a single query, keys and values of every token need not be made: a head's scores are the tokens' products with
    one vector, its query taken back through the keys' map, and its value is that of the tokens' weighted mean. Biases
    of keys would shift all scores of a head alike, which softmax does not notice: there are none.

    Args:
        dim: width D.
        heads: attention heads.
        classes: K.
    """

    def __init__(self, dim: int, heads: int, classes: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, dim), std=0.02))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q, self.k, self.v = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.proj, self.mlp, self.head = nn.Linear(dim, dim), Mlp(dim, 4 * dim), nn.Linear(dim, classes)
        self.apply(init_truncated)

    def looks(self) -> Tensor:
        """What each head looks for (h, D), in tokens of mean 0 and deviation 1."""
        q_h1d, k_hdD = (
            rearrange(each, "(h d) x -> h d x", h=self.heads) for each in (self.q(self.query).T, self.k.weight)
        )
        return (q_h1d * k_hdD).sum(1) * self.norm1.weight / math.sqrt(k_hdD.shape[1])

    def forward(self, seen_BhD: Tensor) -> Tensor:
        """Logits (B, K) of each head's weighted mean of tokens of mean 0 and deviation 1."""
        seen_BhD = seen_BhD * self.norm1.weight + self.norm1.bias
        v_hdD = rearrange(self.v.weight, "(h d) x -> h d x", h=self.heads)
        value_BD = torch.einsum("bhx,hdx->bhd", seen_BhD, v_hdD).flatten(1) + self.v.bias
        x_BD = self.query + self.proj(value_BD)
        return self.head(x_BD + self.mlp(self.norm2(x_BD)))


def standard(tokens: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """The tokens of some clips, float32 (B, N, D), each of mean 0 and deviation 1."""
    values_BND = torch.from_numpy(np.stack([np.asarray(each, np.float32) for each in tokens])).to(device)
    return F.layer_norm(values_BND, values_BND.shape[-1:])


def logits_of(pools: Sequence[AttentivePool], tokens_BND: Tensor) -> Tensor:
    """Logits (H, B, K) of all pools for tokens as of `standard`, which are gone through once."""
    looks_HhD = torch.stack([pool.looks() for pool in pools])
    weight_BNa = (tokens_BND @ looks_HhD.flatten(0, 1).T).softmax(1)
    seen_BHhD = (weight_BNa.transpose(1, 2) @ tokens_BND).unflatten(1, looks_HhD.shape[:2])
    return torch.stack([pool(seen_BHhD[:, place]) for place, pool in enumerate(pools)])


class AttentiveHeads:
    """Pools side by side.

    Args:
        pools: one per head.
        device: where they are.
    """

    def __init__(self, pools: Sequence[AttentivePool], device: torch.device):
        self.pools, self.device = pools, device

    @torch.inference_mode()
    def __call__(self, features: Features) -> Tensor:
        """Probabilities (H, R, K), averaged over views."""
        each = []
        for start in range(0, len(features.values), 16):
            tokens_RVND = standard(features.values[start : start + 16], self.device)
            logits = logits_of(self.pools, tokens_RVND.flatten(0, 1)).unflatten(1, tokens_RVND.shape[:2])
            each.append(logits.softmax(3).mean(2))
        return torch.cat(each, dim=1).nan_to_num(0.0)


def fit(
    train: Features, classes: int, settings: Sequence[Settings], sweep: Sweep, device: torch.device
) -> AttentiveHeads:
    """Train a pool per learning rate and weight decay: AdamW, the same batches and the same start for all."""
    views, _, width = train.values[0].shape
    heads = max(width // 64, 1) if width % 64 == 0 else 1
    pools = []
    for _ in settings:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sweep.seed)
            pools.append(AttentivePool(width, heads, classes).to(device))
    groups = [group for pair in zip(pools, settings, strict=True) for group in _groups(*pair)]
    optimizer = torch.optim.AdamW(groups, fused=True)
    label_M = train.labels().repeat_interleave(views)
    few = 4 * train.values[0].size * len(train.values) <= FEW
    all_MND = standard(train.values, device).flatten(0, 1) if few else None
    steps = tqdm(total=sweep.steps(len(label_M))[1], desc="heads", unit="step", disable=None, leave=False)
    for progress, ids in batches(len(label_M), sweep, torch.device("cpu")):
        if all_MND is not None:
            tokens_BND = all_MND[ids.to(device)]
        else:
            places = [divmod(sample, views) for sample in ids.tolist()]
            tokens_BND = standard([train.values[record][view] for record, view in places], device)
        for group in optimizer.param_groups:
            group["lr"] = group["at_the_start"] * 0.5 * (1 + math.cos(math.pi * progress))
        optimizer.zero_grad(set_to_none=True)
        logits_HBK = logits_of(pools, tokens_BND)
        label_HB = label_M[ids].to(device).repeat(len(pools))
        F.cross_entropy(logits_HBK.flatten(0, 1), label_HB, reduction="sum").div(len(ids)).backward()
        optimizer.step()
        steps.update()
    steps.close()
    return AttentiveHeads(pools, device)


def _groups(pool: AttentivePool, settings: Settings) -> list[dict[str, Any]]:
    """Weight decay on matrices, none on the query, biases and norms."""
    rate = settings["learning_rate"]
    plain = [part for part in pool.parameters() if part.ndim == 1 or part is pool.query]
    matrices = [part for part in pool.parameters() if part.ndim > 1 and part is not pool.query]
    return [
        {"params": matrices, "weight_decay": settings["weight_decay"], "lr": rate, "at_the_start": rate},
        {"params": plain, "weight_decay": 0.0, "lr": rate, "at_the_start": rate},
    ]
