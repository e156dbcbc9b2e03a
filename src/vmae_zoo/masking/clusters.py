"""Clusters of neighbouring tokens, visited one after the other.

ARVideo (Ren et al., 2024, arXiv 2405.15160, section 3.3) cuts the grid into equal boxes of tokens and predicts each box
from those visited before it. The paper does not say whether the random order is drawn per clip or per batch: per clip
here, as in the first author's D-iGPT program.

Shapes: B clips, N tokens of the grid, K clusters, n tokens of a cluster, k of them kept.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.randomness import random_bits, random_order

ORDERS = ("random", "spatial_first", "temporal_first")


@dataclass(frozen=True)
class ClusterOrder:
    """Clusters in the order of visit, and what the encoder sees of each.

    Clusters are numbered row-major over the (time, height, width) grid of clusters.

    Args:
        order: int64 (B, K), the cluster visited at each step.
        kept: int64 (B, K, k), the token ids kept in each, ascending; rows as in ``order``.
    """

    order: Tensor
    kept: Tensor

    def to(self, device: torch.device | str) -> "ClusterOrder":
        """The same order on another device."""
        return ClusterOrder(self.order.to(device), self.kept.to(device))


def cluster_order(
    key_B: Tensor,
    grid: TokenGrid,
    cluster: tuple[int, int, int] = (2, 7, 7),
    order: str = "random",
    drop: float = 0.8,
) -> ClusterOrder:
    """Draw an order of visit and the kept tokens of each cluster.

    Args:
        key_B: int64 (B,) keys; each clip has its own draw.
        grid: the tokens of the clip.
        cluster: tokens of a cluster along time, height, width ((2, 7, 7) in the paper: 16 clusters of 98).
        order: "random", "spatial_first" (all clusters of a time step, then the next) or "temporal_first" (all times of
            a place, then the next).
        drop: share of the tokens of each cluster that the encoder does not see (0.8 in the paper: 20 of 98 kept).
    """
    tokens_Kn = cluster_tokens(grid, cluster, key_B.device)
    clusters, size = tokens_Kn.shape
    kept = kept_in_cluster(size, drop)
    if order == "random":
        order_BK = random_order(key_B, clusters, "cluster order")
    else:
        order_BK = fixed_order(grid, cluster, order, key_B.device).expand(len(key_B), -1)
    drawn_BKn = random_bits(key_B, grid.tokens, "cluster drop")[:, tokens_Kn]
    places_BKk = drawn_BKn.argsort(dim=2, stable=True)[:, :, :kept].sort(dim=2).values
    kept_BKk = tokens_Kn.expand(len(key_B), -1, -1).gather(2, places_BKk)
    return ClusterOrder(order_BK, kept_BKk.gather(1, order_BK[:, :, None].expand(-1, -1, kept)))


def cluster_tokens(grid: TokenGrid, cluster: tuple[int, int, int], device: torch.device | str | None = None) -> Tensor:
    """The token ids of each cluster, ascending: int64 (K, n); ``ValueError`` where clusters do not fill the grid."""
    if any(side < 1 or tokens % side for tokens, side in zip(grid.shape, cluster, strict=True)):
        raise ValueError(
            f"clusters of {tuple(cluster)} tokens do not fill a grid of {grid.shape}: "
            "choose a cluster whose sides divide the grid's"
        )
    ids = torch.arange(grid.tokens, device=device).view(grid.shape)
    p, q, r = cluster
    return rearrange(ids, "(t p) (h q) (w r) -> (t h w) (p q r)", p=p, q=q, r=r)


def fixed_order(
    grid: TokenGrid, cluster: tuple[int, int, int], order: str, device: torch.device | str | None = None
) -> Tensor:
    """The spatial-first or temporal-first order of the clusters: int64 (K,)."""
    if order not in ORDERS:
        raise ValueError(f"order = {order!r} is not known: choose one of {', '.join(ORDERS)}")
    counts = [tokens // side for tokens, side in zip(grid.shape, cluster, strict=True)]
    numbers_THW = torch.arange(counts[0] * counts[1] * counts[2], device=device).view(counts)
    return numbers_THW.flatten() if order == "spatial_first" else numbers_THW.permute(1, 2, 0).flatten()


def kept_in_cluster(size: int, drop: float) -> int:
    """``size - int(drop * size)``: at least one of each cluster stays."""
    if not 0 <= drop < 1:
        raise ValueError(f"drop = {drop} is not a share below 1: choose one from 0 up to, not including, 1")
    return size - int(drop * size)


def block_causal(blocks: int, rows: int, columns: int) -> Tensor:
    """Bool (blocks * rows, blocks * columns), True where a row's block is the column's or comes after it."""
    lower = torch.ones(blocks, blocks, dtype=torch.bool).tril()
    return lower.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
