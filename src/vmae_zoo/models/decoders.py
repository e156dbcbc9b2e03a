"""The decoder of masked autoencoders: from visible tokens to predictions of hidden ones.

Shapes: B clips, N tokens of the grid, V visible, M predicted; D = width of the decoder.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.models.blocks import Block, BlockStack, init_linear, layer_norm
from vmae_zoo.models.positions import PosEmbed, add_cls_position, build_pos_embed


class Decoder(BlockStack):
    """Blocks over visible tokens and mask tokens, and a linear head on the mask tokens (Tong et al. 2022, section 3.3).

    Args:
        grid: the tokens of a clip.
        width: D.
        depth: blocks.
        num_heads: attention heads.
        values: values predicted per token.
        mlp_ratio: hidden width of each MLP over D.
        bias: "qv" (VideoMAE) or "qkv" (MAE), see `vmae_zoo.models.blocks.Attention`.
        position: position embedding; this and the following: see `vmae_zoo.models.positions.build_pos_embed`.
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
        bias: str = "qv",
        position: str = "sincos_1d",
        **positions: Any,
    ):
        super().__init__()
        self.positions = build_pos_embed(position, grid, width, num_heads=num_heads, **positions)
        self.blocks = nn.ModuleList(Block(width, num_heads, mlp_ratio, bias) for _ in range(depth))
        self.norm = layer_norm(width)
        self.head = nn.Linear(width, values)
        self.apply(init_linear)

    def forward(
        self, visible_BVD: Tensor, mask_token_11D: Tensor, split: TokenSplit, cls_B1D: Tensor | None = None
    ) -> Tensor:
        """Predict the tokens of ``split.predicted``: (B, M, values).

        The sequence is class token, if given, visible tokens, mask tokens; position embeddings state where they are.
        """
        return self.head(self.norm(run_on_split(self, self.positions, visible_BVD, mask_token_11D, split, cls_B1D)))


def run_on_split(
    stack: BlockStack,
    positions: PosEmbed,
    visible_BVD: Tensor,
    mask_token_11D: Tensor,
    split: TokenSplit,
    cls_B1D: Tensor | None = None,
) -> Tensor:
    """Mask tokens (B, M, D) after the blocks, which run over them and the visible tokens, all with their positions."""
    visible_BVD = positions.add_to(visible_BVD, split.visible)
    masked_BMD = positions.add_to(mask_token_11D.expand(*split.predicted.shape, -1), split.predicted)
    rotation = positions.rotation(torch.cat([split.visible, split.predicted], dim=1))
    tokens = torch.cat([visible_BVD, masked_BMD.to(visible_BVD.dtype)], dim=1)
    if cls_B1D is not None:
        tokens = torch.cat([add_cls_position(cls_B1D, positions).to(tokens.dtype), tokens], dim=1)
    return stack.run_blocks(tokens, None, rotation)[:, -split.predicted.shape[1] :]
