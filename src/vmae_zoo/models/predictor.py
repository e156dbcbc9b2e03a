"""The predictor of V-JEPA: from the features of visible tokens to those of hidden ones.

As in V-JEPA (Bardes et al., 2024, arXiv 2404.08471, section 3) and V-JEPA 2 (Assran et al., 2025, arXiv 2506.09985): a
narrow transformer over the context tokens and, for each hidden token, a learned mask token, initialized to zero.
The official V-JEPA 2 sorts both by position, which does not change the result.

Shapes: B clips, N tokens of the grid, V visible, M hidden; E = width of the encoder, D = width of the predictor.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.models.blocks import Block, BlockStack, init_truncated, layer_norm, scale_residual_branches
from vmae_zoo.models.decoders import run_on_split
from vmae_zoo.models.positions import build_pos_embed


class Predictor(BlockStack):
    """Transformer blocks over context and mask tokens; features are predicted for the mask tokens only.

    Args:
        grid: the tokens of a clip.
        encoder_width: width E of the context tokens and of the predicted features.
        width: D (384 in both papers).
        depth: number of blocks (12 in both papers).
        num_heads: attention heads (as the encoder in V-JEPA, 12 in V-JEPA 2).
        mask_tokens: number of mask tokens: one per mask set (V-JEPA) or one for all (V-JEPA 2).
        scale_residuals: divide the residual branches of block i by sqrt(2 i) at initialization (V-JEPA 2).
        position: position embedding; this and the following: see `vmae_zoo.models.positions.build_pos_embed`.
        **positions: further settings of the embedding.
    """

    def __init__(
        self,
        grid: TokenGrid,
        encoder_width: int,
        width: int,
        depth: int,
        num_heads: int,
        *,
        mask_tokens: int = 1,
        scale_residuals: bool = True,
        position: str = "rope",
        **positions: Any,
    ):
        super().__init__()
        self.embed = nn.Linear(encoder_width, width)
        self.mask_tokens = nn.ParameterList(nn.Parameter(torch.zeros(1, 1, width)) for _ in range(mask_tokens))
        self.positions = build_pos_embed(position, grid, width, num_heads=num_heads, **positions)
        self.blocks = nn.ModuleList(Block(width, num_heads, bias="qkv") for _ in range(depth))
        self.norm = layer_norm(width)
        self.proj = nn.Linear(width, encoder_width)
        self.apply(init_truncated)
        if scale_residuals:
            scale_residual_branches(self.blocks)

    def forward(self, context_BVE: Tensor, split: TokenSplit, mask_set: int = 0) -> Tensor:
        """Predict the features of ``split.predicted``: (B, M, E), rows in that order.

        ``mask_set`` selects the mask token if there are several.
        """
        mask_token_11D = self.mask_tokens[mask_set if len(self.mask_tokens) > 1 else 0]
        hidden_BMD = run_on_split(self, self.positions, self.embed(context_BVE), mask_token_11D, split)
        return self.proj(self.norm(hidden_BMD))
