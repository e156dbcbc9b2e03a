"""Sizes of the blocks of multi-block masks, and the numbers of hidden and context cells of a grid.

Shapes: B clips, R tries, b blocks, H rows, W columns, S = H W cells of a time slice.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from vmae_zoo.randomness import random_bits

ASPECTS = tuple(0.75 + 0.75 * (index + 0.5) / 4096 for index in range(4096))  # uniform in [0.75, 1.5]
SIMULATED = 4096  # random layouts per block size
MAX_FAILURE = 1e-6  # largest probability that no random try is accepted
MAX_TRIES = 64
MIN_ACCEPTED = 0.05  # smallest share of accepted random layouts of a block size


@dataclass(frozen=True)
class BlockSet:
    """One mask set: number of blocks per clip, and fraction of the frame's area that each covers."""

    blocks: int
    scale: float


SHORT_RANGE, LONG_RANGE = BlockSet(8, 0.15), BlockSet(2, 0.7)
VJEPA_SETS = (SHORT_RANGE, LONG_RANGE)

# Hidden and context cells (Kh, Kc) of the published grids; `block_layout` computes those of other grids.
_KEPT = {
    (14, 14, SHORT_RANGE): (92, 48),
    (14, 14, LONG_RANGE): (130, 14),
    (16, 16, SHORT_RANGE): (124, 60),
    (16, 16, LONG_RANGE): (168, 16),
}


def block_size(height: int, width: int, scale: float, aspect: float) -> tuple[int, int]:
    """Rows and columns of a block on a grid of cells: at least 1, at most the grid's."""
    cells = int(height * width * scale)
    rows, columns = round(math.sqrt(cells * aspect)), round(math.sqrt(cells / aspect))
    return min(max(rows, 1), height), min(max(columns, 1), width)


@dataclass(frozen=True)
class BlockLayout:
    """Constants of a mask set on a grid.

    Args:
        kept: numbers of hidden and context cells, (Kh, Kc).
        tries: layouts per clip, including the fallback.
        fallback: for each block size, top rows and left columns of a layout that is accepted.
    """

    kept: tuple[int, int]
    tries: int
    fallback: dict[tuple[int, int], tuple[tuple[int, ...], tuple[int, ...]]]


@cache
def block_layout(height: int, width: int, blocks: BlockSet) -> BlockLayout:
    """Constants of a mask set on a grid, from `SIMULATED` random layouts of each block size with fixed keys.

    Kh and Kc of grids that are not published are the 5th percentiles of the numbers of covered and of uncovered cells
    over all aspect ratios, at most the first quartile of each block size, so that every aspect ratio remains possible.

    Raises:
        ValueError: the blocks of some aspect ratio almost never leave a context.
    """
    sizes = Counter(block_size(height, width, blocks.scale, aspect) for aspect in ASPECTS)
    keys = torch.arange(SIMULATED, device="cpu")
    corners = {size: random_corners(keys, height, width, size, blocks.blocks, 1, "simulated") for size in sizes}
    covered = {size: covered_cells(*corners[size], size, height, width).sum(-1).flatten() for size in sizes}
    uncovered = {size: height * width - counts for size, counts in covered.items()}
    kept = _KEPT.get((height, width, blocks)) or (_percentile(covered, sizes), _percentile(uncovered, sizes))
    accepted = {size: (covered[size] >= kept[0]) & (uncovered[size] >= kept[1]) for size in sizes}
    share = min(float(each.double().mean()) for each in accepted.values())
    if share < MIN_ACCEPTED:
        raise ValueError(
            f"multi-block masks of {blocks.blocks} blocks of {blocks.scale:.0%} leave no context on {height} x {width} "
            "tokens: use a larger image_size or a smaller patch"
        )
    random_tries = 1 if share == 1 else min(math.ceil(math.log(MAX_FAILURE) / math.log1p(-share)), MAX_TRIES)
    fallback = {}
    for size, (top_R1b, left_R1b) in corners.items():
        first = int(accepted[size].int().argmax())
        fallback[size] = tuple(top_R1b[first, 0].tolist()), tuple(left_R1b[first, 0].tolist())
    return BlockLayout(kept, random_tries + 1, fallback)


def _percentile(counts: Mapping[tuple[int, int], Tensor], weights: Mapping[tuple[int, int], int]) -> int:
    """The weighted 5th percentile of the counts, at most the first quartile of each block size; at least 1."""
    values = torch.cat(list(counts.values()))
    weight = torch.cat([torch.full_like(each, weights[size]) for size, each in counts.items()])
    values, order = values.sort()
    reached = weight[order].cumsum(0) >= 0.05 * float(weight.sum())
    quartile = min(int(each.sort().values[len(each) // 4]) for each in counts.values())
    return max(min(int(values[reached][0]), quartile), 1)


def random_corners(
    key_B: Tensor, height: int, width: int, size: tuple[int, int], blocks: int, tries: int, purpose: str
) -> tuple[Tensor, Tensor]:
    """Uniformly random top rows and left columns of blocks of this size, int64 (B, R, b) each."""
    bits_B2Rb = random_bits(key_B, 2 * tries * blocks, purpose).view(-1, 2, tries, blocks)
    return bits_B2Rb[:, 0] % (height - size[0] + 1), bits_B2Rb[:, 1] % (width - size[1] + 1)


def covered_cells(top_BRb: Tensor, left_BRb: Tensor, size: tuple[int, int], height: int, width: int) -> Tensor:
    """The union of the blocks: bool (B, R, S), True at covered cells."""
    rows_H, columns_W = (torch.arange(count, device=top_BRb.device) for count in (height, width))
    in_rows_BRbH = (rows_H >= top_BRb[..., None]) & (rows_H < top_BRb[..., None] + size[0])
    in_columns_BRbW = (columns_W >= left_BRb[..., None]) & (columns_W < left_BRb[..., None] + size[1])
    return (in_rows_BRbH.float().mT @ in_columns_BRbW.float() > 0.5).flatten(-2)
