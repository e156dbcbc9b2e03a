"""Clusters of neighboring tokens in a random or fixed order.

ARVideo (Ren et al., 2024, arXiv 2405.15160, section 3.3) divides the grid into equal boxes of tokens and predicts each
box from the preceding ones. The paper does not state whether a random order is per clip or per batch; here it is per
clip, as in the first author's D-iGPT program.

Shapes: B clips, N tokens of the grid, K clusters, n tokens of a cluster, k of them kept.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.randomness import random_bits, random_order
from vmae_zoo.setting_checks import check_choice

ORDERS = ("random", "spatial_first", "temporal_first")


@dataclass(frozen=True)
class ClusterOrder:
    """The sequence of clusters, and the tokens of each that the encoder sees.

    Clusters are numbered row-major over the (time, height, width) grid of clusters.

    Args:
        order: int64 (B, K), the cluster of each step.
        kept: int64 (B, K, k), token ids that the encoder sees of each cluster, ascending; in the sequence of ``order``.
    """

    order: Tensor
    kept: Tensor

    def to(self, device: torch.device | str) -> "ClusterOrder":
        """Copy to a device."""
        return ClusterOrder(self.order.to(device), self.kept.to(device))


def cluster_order(
    key_B: Tensor,
    grid: TokenGrid,
    cluster: tuple[int, int, int] = (2, 7, 7),
    order: str = "random",
    drop: float = 0.8,
) -> ClusterOrder:
    """Sample the order of the clusters and the kept tokens of each.

    Args:
        key_B: int64 (B,) keys; each clip is sampled by its own.
        grid: tokens of a clip.
        cluster: tokens of a cluster along time, height, width ((2, 7, 7) in the paper: 16 clusters of 98).
        order: "random", "spatial_first" (all clusters of a time step before the next) or "temporal_first" (all time
            steps of a spatial position before the next).
        drop: fraction of the tokens of a cluster that the encoder does not see, in [0, 1) (0.8 in the paper: 20 of 98
            kept).
    """
    tokens_Kn = cluster_tokens(grid, cluster, key_B.device)
    clusters, size = tokens_Kn.shape
    kept = num_kept(size, drop)
    if order == "random":
        order_BK = random_order(key_B, clusters, "cluster order")
    else:
        order_BK = fixed_order(grid, cluster, order, key_B.device).expand(len(key_B), -1)
    noise_BKn = random_bits(key_B, grid.tokens, "cluster drop")[:, tokens_Kn]
    index_BKk = noise_BKn.argsort(dim=2, stable=True)[:, :, :kept].sort(dim=2).values
    kept_BKk = tokens_Kn.expand(len(key_B), -1, -1).gather(2, index_BKk)
    return ClusterOrder(order_BK, kept_BKk.gather(1, order_BK[:, :, None].expand(-1, -1, kept)))


def cluster_tokens(grid: TokenGrid, cluster: tuple[int, int, int], device: torch.device | str | None = None) -> Tensor:
    """Token ids of each cluster, ascending: int64 (K, n); ``ValueError`` if clusters do not divide the grid."""
    if any(side < 1 or tokens % side for tokens, side in zip(grid.shape, cluster, strict=True)):
        raise ValueError(
            f"cluster = {tuple(cluster)} does not divide the grid of {grid.shape} tokens: "
            "choose a divisor along each axis"
        )
    ids = torch.arange(grid.tokens, device=device).view(grid.shape)
    p, q, r = cluster
    return rearrange(ids, "(t p) (h q) (w r) -> (t h w) (p q r)", p=p, q=q, r=r)


def fixed_order(
    grid: TokenGrid, cluster: tuple[int, int, int], order: str, device: torch.device | str | None = None
) -> Tensor:
    """The spatial-first or temporal-first order of the clusters: int64 (K,)."""
    check_choice("order", order, ORDERS)
    counts = [tokens // side for tokens, side in zip(grid.shape, cluster, strict=True)]
    cluster_THW = torch.arange(counts[0] * counts[1] * counts[2], device=device).view(counts)
    return cluster_THW.flatten() if order == "spatial_first" else cluster_THW.permute(1, 2, 0).flatten()


def num_kept(size: int, drop: float) -> int:
    """``size - int(drop * size)``, at least 1."""
    if not 0 <= drop < 1:
        raise ValueError(f"drop = {drop}: choose 0 <= drop < 1")
    return size - int(drop * size)


def block_causal_mask(blocks: int, rows: int, columns: int) -> Tensor:
    """Bool (blocks * rows, blocks * columns), True if the block of the row is that of the column or a later one."""
    lower = torch.ones(blocks, blocks, dtype=torch.bool).tril()
    return lower.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
