"""Multi-block masks: tubes under a union of large blocks.

As in V-JEPA (Bardes et al., "Revisiting Feature Prediction for Learning Visual Representations from Video", 2024, arXiv
2404.08471, section 3.2). Each mask set hides the union U of several blocks that span all of time: 8 blocks of 15 % of
the frame's area (short-range) and 2 blocks of 70 % (long-range). The aspect ratio of all blocks is a function of the
optimizer step; their corners are a function of the clip's key and the step.

A random layout is accepted if U covers at least Kh cells of a time slice and leaves at least Kc. Cells are then dropped
at random, as whole tubes, down to exactly Kh hidden and Kc context cells. (Kh, Kc) depends on the mask set and the grid
only, see `vmae_zoo.masking.block_layout`: shapes are static, and the mask of a clip does not depend on its batch.

Different from the official collator, which cuts all clips of a batch to the smallest count in the batch and keeps the
first tokens in raster order, so that the context is mostly early in the clip and its size depends on the batch of a
process. ``drop="late"`` keeps that preference for early tokens, with fixed counts.

No host synchronization: a fixed number of tries is sampled at once, and the first accepted one is used; the last try is
a layout that is always accepted.

Shapes: B clips, R tries, S cells of a time slice, N tokens, K kept cells.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from vmae_zoo.masking.block_layout import (
    ASPECTS,
    VJEPA_SETS,
    BlockSet,
    block_layout,
    block_size,
    covered_cells,
    random_corners,
)
from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.randomness import KeyedRNG, hash_text, random_bits, sample_key
from vmae_zoo.setting_checks import check_choice

DROPS = ("random", "late")


def multi_block_masks(
    key_B: Tensor, grid: TokenGrid, step: int = 0, sets: Sequence[BlockSet] = VJEPA_SETS, drop: str = "random"
) -> list[TokenSplit]:
    """Sample a mask of each set for every clip.

    Args:
        key_B: int64 (B,) keys; the masks are on the same device.
        grid: the tokens of a clip.
        step: optimizer step, the same on all processes; it determines the blocks' aspect ratio, in [0.75, 1.5].
        sets: mask sets.
        drop: which tokens are dropped to keep counts fixed: "random", whole tubes; or "late", the latest in time.

    Returns:
        One split per set: ``visible`` (B, Kc T), ``predicted`` (B, Kh T).

    Raises:
        ValueError: ``drop`` is unknown, or the grid is too small for the blocks.
    """
    check_choice("drop", drop, DROPS)
    return [_sample_set(key_B, grid, step, index, blocks, drop) for index, blocks in enumerate(sets)]


def aspect_of(step: int) -> float:
    """The aspect ratio, rows over columns, of all blocks of a step: one of `ASPECTS`."""
    return KeyedRNG(sample_key(0, step, hash_text("multi-block")), "aspect").choice(ASPECTS)


def _sample_set(key_B: Tensor, grid: TokenGrid, step: int, index: int, blocks: BlockSet, drop: str) -> TokenSplit:
    hidden, context = block_layout(grid.height, grid.width, blocks).kept
    size = block_size(grid.height, grid.width, blocks.scale, aspect_of(step))
    covered_BS = _accepted_union(key_B, grid, size, blocks, f"multi-block places, set {index}, step {step}")
    if drop == "late":
        ids_N = torch.arange(grid.tokens, device=key_B.device)
        covered_BN = covered_BS.repeat(1, grid.time)
        predicted, visible = (
            torch.where(member_BN, ids_N, ids_N + grid.tokens).sort(dim=1).values[:, : cells * grid.time]
            for member_BN, cells in ((covered_BN, hidden), (~covered_BN, context))
        )
        return TokenSplit(visible, predicted)
    order_BS = random_bits(key_B, grid.per_slice, f"multi-block drop, set {index}") >> 1  # leaves room for one more bit
    predicted, visible = (
        _tubes((order_BS + (~member_BS).long() * 2**62).argsort(dim=1, stable=True)[:, :cells], grid)
        for member_BS, cells in ((covered_BS, hidden), (~covered_BS, context))
    )
    return TokenSplit(visible, predicted)


def _accepted_union(key_B: Tensor, grid: TokenGrid, size: tuple[int, int], blocks: BlockSet, purpose: str) -> Tensor:
    """The cells that the first accepted layout of each clip covers: bool (B, S)."""
    height, width = grid.height, grid.width
    layout = block_layout(height, width, blocks)
    (hidden, context), tries = layout.kept, layout.tries
    sampled = random_corners(key_B, height, width, size, blocks.blocks, tries - 1, purpose)
    fallback = _fallback_on(height, width, blocks, size, key_B.device)
    top_BRb, left_BRb = (
        torch.cat([some, last.expand(len(key_B), 1, -1)], dim=1) for some, last in zip(sampled, fallback, strict=True)
    )
    covered_BRS = covered_cells(top_BRb, left_BRb, size, height, width)
    count_BR = covered_BRS.sum(-1)
    accepted_BR = (count_BR >= hidden) & (grid.per_slice - count_BR >= context)
    first_B = (accepted_BR * torch.arange(tries, 0, -1, device=key_B.device)).argmax(1)
    return covered_BRS.gather(1, first_B[:, None, None].expand(-1, 1, grid.per_slice))[:, 0]


@cache
def _fallback_on(
    height: int, width: int, blocks: BlockSet, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """The fallback layout, copied to the device once."""
    top, left = block_layout(height, width, blocks).fallback[size]
    return torch.tensor(top, device=device), torch.tensor(left, device=device)


def _tubes(cells_BK: Tensor, grid: TokenGrid) -> Tensor:
    """The tokens of these cells in every time slice, ascending: (B, T K)."""
    slices_T1 = torch.arange(grid.time, device=cells_BK.device)[:, None] * grid.per_slice
    return (cells_BK.sort(dim=1).values[:, None] + slices_T1).flatten(1)
