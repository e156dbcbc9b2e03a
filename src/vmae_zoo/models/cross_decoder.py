"""A decoder of cross-attention to the encoder's tokens and MLPs, without self-attention.

As in ARVideo (Ren et al., 2024, arXiv 2405.15160, section 3.3.3). The paper gives width, depth and the kind of
attention; a block is that of the first author's ARM program: ``q + attention(norm(q), norm(memory))``, then
``q + mlp(norm(q))``, with a norm of the memory in every block.

Shapes: B clips, Q queries, V tokens of the memory, D = width, h heads, d = D / h.
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.blocks import BlockStack, Mlp, init_linear, layer_norm
from vmae_zoo.models.positions import build_pos_embed
from vmae_zoo.models.rotary import Rotation, rotate


class CrossAttention(nn.Module):
    """Multi-head attention of queries to a memory."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        if dim % heads:
            raise ValueError(
                f"decoder width {dim} does not divide into {heads} heads: "
                "set decoder_num_heads to a divisor of the width"
            )
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self,
        query_BQD: Tensor,
        memory_BVD: Tensor,
        mask_QV: Tensor,
        query_rotation: Rotation | None = None,
        memory_rotation: Rotation | None = None,
    ) -> Tensor:
        """Attend; ``mask`` is bool (Q, V), True if the query attends to the token; rotations as in `Attention`."""
        q_BhQd = rearrange(self.q(query_BQD), "b q (h d) -> b h q d", h=self.heads)
        k_BhVd, v_BhVd = rearrange(self.kv(memory_BVD), "b v (two h d) -> two b h v d", two=2, h=self.heads)
        if query_rotation is not None and memory_rotation is not None:
            q_BhQd, k_BhVd = rotate(q_BhQd, query_rotation), rotate(k_BhVd, memory_rotation)
        out_BhQd = F.scaled_dot_product_attention(q_BhQd, k_BhVd, v_BhVd, attn_mask=mask_QV)
        return self.proj(rearrange(out_BhQd, "b h q d -> b q (h d)"))


class CrossBlock(nn.Module):
    """Cross-attention, then an MLP, each with its norm and residual."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 4.0):
        super().__init__()
        self.norm1 = layer_norm(dim)
        self.norm_memory = layer_norm(dim)
        self.attn = CrossAttention(dim, heads)
        self.norm2 = layer_norm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, query_BQD: Tensor, memory_BVD: Tensor, mask_QV: Tensor, *rotations: Rotation | None) -> Tensor:
        """(B, Q, D) -> (B, Q, D); arguments as of `CrossAttention`."""
        query_BQD = query_BQD + self.attn(self.norm1(query_BQD), self.norm_memory(memory_BVD), mask_QV, *rotations)
        return query_BQD + self.mlp(self.norm2(query_BQD))


class CrossDecoder(BlockStack):
    """Predicts tokens from a memory; each query is a learned vector plus the position of the token to predict.

    Args:
        grid: the tokens of a clip.
        width: D (512 in ARVideo).
        depth: blocks (4 in ARVideo).
        num_heads: attention heads (not stated in the paper; 8 here, 64 channels each).
        values: values predicted per token.
        mlp_ratio: hidden width of each MLP over D.
        position: position embedding, see `vmae_zoo.models.positions.build_pos_embed`; "rope" rotates the keys too.
        **positions: further settings of the embedding.
    """

    def __init__(
        self,
        grid: TokenGrid,
        width: int,
        depth: int,
        num_heads: int,
        values: int,
        mlp_ratio: float = 4.0,
        position: str = "sincos_1d",
        **positions: Any,
    ):
        super().__init__()
        self.positions = build_pos_embed(position, grid, width, num_heads=num_heads, **positions)
        self.query_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, width), std=0.02))
        self.blocks = nn.ModuleList(CrossBlock(width, num_heads, mlp_ratio) for _ in range(depth))
        self.norm = layer_norm(width)
        self.head = nn.Linear(width, values)
        self.apply(init_linear)

    def forward(
        self, memory_BVD: Tensor, ids_BQ: Tensor, mask_QV: Tensor, memory_ids_BV: Tensor | None = None
    ) -> Tensor:
        """Predict the tokens with these ids: (B, Q, values).

        Args:
            memory_BVD: tokens of the encoder.
            ids_BQ: int64 token ids, in any order.
            mask_QV: bool, True if the query attends to the token.
            memory_ids_BV: int64 token ids of the memory; only rotary positions need them.
        """
        query_BQD = self.positions.add_to(self.query_token.expand(*ids_BQ.shape, -1), ids_BQ)
        rotations = self.positions.rotation(ids_BQ), self.positions.rotation(memory_ids_BV)
        return self.head(self.norm(self.run_blocks(query_BQD, memory_BVD, mask_QV, *rotations)))
