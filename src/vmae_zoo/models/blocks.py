"""The pre-norm transformer block of encoders and decoders (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929).

Parameters keep the names of the official VideoMAE programs. Attention goes through PyTorch's fused kernel.

Shapes: B clips, N tokens, D = width, h heads, d = D / h.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vmae_zoo.models.rotary import Rotation, rotate

layer_norm = partial(nn.LayerNorm, eps=1e-6)  # as in the published encoders and decoders


class Attention(nn.Module):
    """Multi-head self-attention with one fused map for queries, keys and values.

    Args:
        dim: width D.
        heads: attention heads.
        bias: "qv", VideoMAE's: separate ``q_bias`` and ``v_bias``, none for keys; "qkv": one bias for all three (MAE,
            MoCo v3, TimeSformer).
    """

    def __init__(self, dim: int, heads: int, bias: str = "qv"):
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} does not divide into {heads} heads: set num_heads to a divisor of the width")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias == "qkv")
        if bias == "qv":
            self.q_bias = nn.Parameter(torch.zeros(dim))
            self.v_bias = nn.Parameter(torch.zeros(dim))
        self.separate_bias = bias == "qv"
        self.proj = nn.Linear(dim, dim)

    def queries_keys_values(self, x_BND: Tensor, rotation: Rotation | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the tokens, each (B, h, N, d); queries and keys are rotated."""
        bias = (
            torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
            if self.separate_bias
            else self.qkv.bias
        )
        qkv_BN3hd = F.linear(x_BND, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        q_BhNd, k_BhNd, v_BhNd = (part.transpose(1, 2) for part in qkv_BN3hd.unbind(2))  # views, no copies
        if rotation is not None:
            q_BhNd, k_BhNd = rotate(q_BhNd, rotation), rotate(k_BhNd, rotation)
        return q_BhNd, k_BhNd, v_BhNd

    def forward(self, x_BND: Tensor, mask_NN: Tensor | None = None, rotation: Rotation | None = None) -> Tensor:
        """Attend.

        Args:
            x_BND: tokens.
            mask_NN: bool, True if the query (row) attends to the key (column); None: all pairs.
            rotation: rotary positions of the tokens, see `vmae_zoo.models.rotary`; None for no rotation.
        """
        q_BhNd, k_BhNd, v_BhNd = self.queries_keys_values(x_BND, rotation)
        out_BhNd = F.scaled_dot_product_attention(q_BhNd, k_BhNd, v_BhNd, attn_mask=mask_NN)
        return self.proj(rearrange(out_BhNd, "b h n d -> b n (h d)"))


class ZeroLinear(nn.Linear):
    """A linear map that is initialized with zeros, and skipped by the initialization of the module that holds it."""

    def reset_parameters(self) -> None:
        """Zeros."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class Mlp(nn.Module):
    """Two linear maps with an exact GELU between."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.fc2(F.gelu(self.fc1(x_BND)))


class DropPath(nn.Module):
    """Drops a residual branch of random clips in training (stochastic depth, Huang et al. 2016, arXiv 1603.09382).

    Args:
        rate: probability of dropping, in [0, 1); branches that are kept are scaled by 1 / (1 - rate).
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate
        # a buffer: compiled blocks of different rates share a program
        self.register_buffer("keep", torch.tensor(1 - rate), persistent=False)
        self.keep: Tensor

    def forward(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        if not self.training:
            return x_BND
        kept_B11 = self.keep.expand(x_BND.shape[0], *[1] * (x_BND.ndim - 1)).bernoulli()
        return x_BND * (kept_B11 / self.keep).to(x_BND.dtype)


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``: joint attention over all given tokens.

    ``drop_path`` is the probability of dropping a residual branch of a clip; for ``bias`` see `Attention`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        mlp_ratio: float = 4.0,
        bias: str = "qv",
        drop_path: float = 0.0,
        eps: float = 1e-6,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads, bias)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x_BND: Tensor, mask_NN: Tensor | None = None, rotation: Rotation | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D); ``mask`` and ``rotation`` as in `Attention`."""
        x_BND = x_BND + self.drop_path(self.attn(self.norm1(x_BND), mask_NN, rotation))
        return x_BND + self.drop_path(self.mlp(self.norm2(x_BND)))


class BlockStack(nn.Module):
    """Base class of encoders, decoders and predictors: a list of blocks that run one after the other.

    Attributes:
        blocks: the blocks.
        gradient_checkpointing: recompute the activations of each block in the backward pass.
    """

    blocks: nn.ModuleList
    gradient_checkpointing = False

    def run_blocks(self, x_BND: Tensor, *arguments: Any) -> Tensor:
        """Run all blocks, each with the same further arguments."""
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x_BND = checkpoint(block, x_BND, *arguments, use_reentrant=False)
            else:
                x_BND = block(x_BND, *arguments)
        return x_BND


def init_linear(module: nn.Module) -> None:
    """Initialize as VideoMAE: Xavier-uniform linear maps (the fused qkv as one matrix), zero biases, layer norms at 1.

    Convolutions keep PyTorch's default initialization.
    """
    if isinstance(module, nn.Linear) and not isinstance(module, ZeroLinear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def init_truncated(module: nn.Module) -> None:
    """Initialize as in supervised training: truncated normal linear maps (std 0.02), zero biases, layer norms at 1."""
    init_linear(module)
    if isinstance(module, nn.Linear) and not isinstance(module, ZeroLinear):
        nn.init.trunc_normal_(module.weight, std=0.02)


def scale_residual_branches(blocks: Iterable[nn.Module]) -> None:
    """Divide the last map of both residual branches of block i = 1, 2, ... by sqrt(2 i) (V-JEPA 2)."""
    with torch.no_grad():
        for number, block in enumerate(blocks, start=1):
            assert isinstance(block, Block)
            for linear in (block.attn.proj, block.mlp.fc2):
                linear.weight.div_((2 * number) ** 0.5)


def init_separate_qkv(module: nn.Module) -> None:
    """Initialize the maps of queries, keys and values as separate Xavier-uniform matrices (space-time MAE, MoCo v3)."""
    if isinstance(module, Attention):
        for weight in module.qkv.weight.chunk(3):
            nn.init.xavier_uniform_(weight)


def init_patch_projection(proj: nn.Conv3d, zero_bias: bool = False) -> None:
    """Initialize the embedding of cubes as a Xavier-uniform matrix (MAE, MoCo v3).

    The bias keeps PyTorch's default initialization (MAE) or is zero (MoCo v3).
    """
    nn.init.xavier_uniform_(proj.weight.flatten(1))
    if zero_bias and proj.bias is not None:
        nn.init.zeros_(proj.bias)
