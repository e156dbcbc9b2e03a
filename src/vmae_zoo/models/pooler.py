"""The attentive pooler of V-JEPA 2 (Assran et al., 2025, arXiv 2506.09985).

Three self-attention blocks over the tokens of a clip, then cross-attention from one learned query, without an output
projection.

Shapes: B clips, N tokens, D = width, h heads, d channels of a head.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vmae_zoo.models.blocks import Block, BlockStack, Mlp, init_truncated, scale_residual_branches

EPS = 1e-5  # of the layer norms, as in the official programs (1e-6 in transformers)


class CrossAttentionBlock(nn.Module):
    """``x = query + attention(query, norm(tokens))``, then ``x + mlp(norm(x))``."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, query_B1D: Tensor, tokens_BND: Tensor) -> Tensor:
        """(B, 1, D) and (B, N, D) -> (B, 1, D)."""
        q_Bh1d = rearrange(self.q(query_B1D), "b n (h d) -> b h n d", h=self.num_heads)
        kv = self.kv(self.norm1(tokens_BND))
        k_BhNd, v_BhNd = rearrange(kv, "b n (two h d) -> two b h n d", two=2, h=self.num_heads)
        attended = F.scaled_dot_product_attention(q_Bh1d, k_BhNd, v_BhNd)
        x_B1D = query_B1D + rearrange(attended, "b h n d -> b n (h d)")
        return x_B1D + self.mlp(self.norm2(x_B1D))


class AttentivePooler(BlockStack):
    """Self-attention blocks over all tokens, then cross-attention from one learned query.

    Args:
        width: D.
        num_heads: attention heads of every block (16 in V-JEPA 2).
        depth: self-attention blocks (3 in V-JEPA 2), >= 1.
    """

    def __init__(self, width: int, num_heads: int, depth: int = 3):
        super().__init__()
        self.query_tokens = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, width), std=0.02))
        self.blocks = nn.ModuleList(Block(width, num_heads, bias="qkv", eps=EPS) for _ in range(depth))
        self.cross_attention = CrossAttentionBlock(width, num_heads)
        self.apply(init_truncated)
        scale_residual_branches(self.blocks)
        with torch.no_grad():
            self.cross_attention.mlp.fc2.weight.div_(math.sqrt(2 * depth))

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """(B, N, D) -> (B, D)."""
        query_B1D = self.query_tokens.expand(tokens_BND.shape[0], -1, -1)
        return self.cross_attention(query_B1D, self.run_blocks(tokens_BND)).squeeze(1)


def pooler_heads(width: int) -> int:
    """Attention heads of a pooler: 16 as in V-JEPA 2, or the largest smaller number that divides the width."""
    return next(heads for heads in range(16, 0, -1) if width % heads == 0)
