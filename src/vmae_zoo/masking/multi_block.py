"""Multi-block masks: tubes under a union of large blocks.

As in V-JEPA (Bardes et al., "Revisiting Feature Prediction for Learning Visual Representations from Video", 2024, arXiv
2404.08471, section 3.2). Each set of masks hides the union U of some blocks, each of a share of the frame's area, which
span all of time: 8 blocks of 15 % (short-range) and 2 blocks of 70 % (long-range). The aspect ratio of all blocks of a
step is one number; places differ from clip to clip.

Every choice is a function of a clip's key and of the step. A draw is accepted where U covers at least Kh cells of a
slice and leaves at least Kc; then cells (with all of time: whole tubes) are dropped at random down to exactly Kh hidden
and Kc context cells. The pair (Kh, Kc) belongs to the set and the grid, so shapes never change and no clip depends on
the others of its batch.

Different from the official collator, which cuts all clips of a batch to the smallest count of the batch and keeps the
first tokens in raster order, so that the context lies mostly early in the clip and its size depends on the batch of a
process; ``drop="late"`` keeps that preference for early tokens, with the counts of here.

Nothing waits for the host: a fixed number of tries is drawn at once, of which the first that is accepted counts; the
last try is a fixed layout that is always accepted.

Shapes: B clips, R tries, b blocks of a set, H rows, W columns, S = H W cells of a slice; T time slices.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.randomness import KeyedRNG, hash_text, random_bits, sample_key

ASPECTS = tuple(0.75 + 0.75 * (place + 0.5) / 4096 for place in range(4096))  # uniform in [0.75, 1.5]
DROPS = ("random", "late")
SIMULATED = 4096  # draws per size of a block, to settle counts for a grid
MISSES = 1e-6  # most that the chance may be that no random try is accepted
MOST_TRIES = 64
LEAST_ACCEPTED = 0.05  # share of the draws of a block size


@dataclass(frozen=True)
class BlockSet:
    """One set of masks.

    Args:
        blocks: how many hide a clip's tokens.
        scale: share of the frame's area that each covers.
    """

    blocks: int
    scale: float


SHORT_RANGE, LONG_RANGE = BlockSet(8, 0.15), BlockSet(2, 0.7)
VJEPA_SETS = (SHORT_RANGE, LONG_RANGE)

# Hidden and context cells (Kh, Kc) of the published grids; of others `layouts_of` works them out.
_KEPT = {
    (14, 14, SHORT_RANGE): (92, 48),
    (14, 14, LONG_RANGE): (130, 14),
    (16, 16, SHORT_RANGE): (124, 60),
    (16, 16, LONG_RANGE): (168, 16),
}


def multi_block_masks(
    key_B: Tensor, grid: TokenGrid, step: int = 0, sets: Sequence[BlockSet] = VJEPA_SETS, drop: str = "random"
) -> list[TokenSplit]:
    """Draw a mask of each set for every clip.

    Args:
        key_B: int64 (B,) keys, on any device; the masks are on the same one.
        grid: the tokens of a clip.
        step: optimizer step, the same on all processes; it settles the blocks' aspect ratio, in [0.75, 1.5].
        sets: of masks.
        drop: "random", whole tubes by key; or "late", the latest tokens in time.

    Returns:
        One split a set: ``visible`` (B, Kc T), ``predicted`` (B, Kh T).

    Raises:
        ValueError: ``drop`` is not known, or the grid is too small for the blocks.
    """
    if drop not in DROPS:
        raise ValueError(f"drop = {drop!r} is not known: choose {' or '.join(DROPS)}")
    return [_draw(key_B, grid, step, place, blocks, drop) for place, blocks in enumerate(sets)]


def _draw(key_B: Tensor, grid: TokenGrid, step: int, place: int, blocks: BlockSet, drop: str) -> TokenSplit:
    hidden, context = layouts_of(grid.height, grid.width, blocks).kept
    size = block_size(grid.height, grid.width, blocks.scale, aspect_of(step))
    covered_BS = _accepted(key_B, grid, size, blocks, f"multi-block places, set {place}, step {step}")
    if drop == "late":
        ids_N = torch.arange(grid.tokens, device=key_B.device)
        covered_BN = covered_BS.repeat(1, grid.time)
        predicted, visible = (
            torch.where(member_BN, ids_N, ids_N + grid.tokens).sort(dim=1).values[:, : cells * grid.time]
            for member_BN, cells in ((covered_BN, hidden), (~covered_BN, context))
        )
        return TokenSplit(visible, predicted)
    order_BS = random_bits(key_B, grid.per_slice, f"multi-block drop, set {place}") >> 1  # leaves room for one more bit
    predicted, visible = (
        _tubes((order_BS + (~member_BS).long() * 2**62).argsort(dim=1, stable=True)[:, :cells], grid)
        for member_BS, cells in ((covered_BS, hidden), (~covered_BS, context))
    )
    return TokenSplit(visible, predicted)


def aspect_of(step: int) -> float:
    """The aspect ratio, rows over columns, of all blocks of a step: one of `ASPECTS`."""
    return KeyedRNG(sample_key(0, step, hash_text("multi-block")), "aspect").choice(ASPECTS)


def block_size(height: int, width: int, scale: float, aspect: float) -> tuple[int, int]:
    """Rows and columns of a block on a grid of cells; at least 1, at most the grid's."""
    cells = int(height * width * scale)
    rows, columns = round(math.sqrt(cells * aspect)), round(math.sqrt(cells / aspect))
    return min(max(rows, 1), height), min(max(columns, 1), width)


@dataclass(frozen=True)
class Layouts:
    """What is settled once for a set and a grid.

    Args:
        kept: cells of a slice that are hidden and that are context, (Kh, Kc).
        tries: layouts drawn at once for a clip, the fixed one included.
        fixed: for each size of a block, the top rows and left columns of a layout that is accepted.
    """

    kept: tuple[int, int]
    tries: int
    fixed: dict[tuple[int, int], tuple[tuple[int, ...], tuple[int, ...]]]


@cache
def layouts_of(height: int, width: int, blocks: BlockSet) -> Layouts:
    """Counts for a set on a grid, from `SIMULATED` draws of each block size with fixed keys.

    Of grids that are not in the table of published ones, Kh and Kc are the 5th percentiles of the cells that U covers
    and leaves, over all aspect ratios; but no more than three quarters of the draws of each size allow, so that no
    aspect ratio is shut out.

    Raises:
        ValueError: blocks of some aspect ratio nearly never leave a context.
    """
    sizes = Counter(block_size(height, width, blocks.scale, aspect) for aspect in ASPECTS)
    keys = torch.arange(SIMULATED, device="cpu")
    places = {size: _places(keys, height, width, size, blocks.blocks, 1, "simulated") for size in sizes}
    covered = {size: _union(*places[size], size, height, width).sum(-1).flatten() for size in sizes}
    left = {size: height * width - counts for size, counts in covered.items()}
    kept = _KEPT.get((height, width, blocks)) or (_usual(covered, sizes), _usual(left, sizes))
    accepted = {size: (covered[size] >= kept[0]) & (left[size] >= kept[1]) for size in sizes}
    share = min(float(each.double().mean()) for each in accepted.values())
    if share < LEAST_ACCEPTED:
        raise ValueError(
            f"multi-block masks of {blocks.blocks} blocks of {blocks.scale:.0%} leave no context on {height} x {width} "
            "tokens: use a larger image_size or a smaller patch"
        )
    random_tries = 1 if share == 1 else min(math.ceil(math.log(MISSES) / math.log1p(-share)), MOST_TRIES)
    fixed = {}
    for size, (top_R1b, left_R1b) in places.items():
        first = int(accepted[size].int().argmax())
        fixed[size] = tuple(top_R1b[first, 0].tolist()), tuple(left_R1b[first, 0].tolist())
    return Layouts(kept, random_tries + 1, fixed)


def _usual(counts: Mapping[tuple[int, int], Tensor], sizes: Mapping[tuple[int, int], int]) -> int:
    """The 5th percentile of counts whose sizes occur so often, at most the first quartile of each size; at least 1."""
    values = torch.cat(list(counts.values()))
    weights = torch.cat([torch.full_like(each, sizes[size]) for size, each in counts.items()])
    values, order = values.sort()
    reached = weights[order].cumsum(0) >= 0.05 * float(weights.sum())
    least = min(int(each.sort().values[len(each) // 4]) for each in counts.values())
    return max(min(int(values[reached][0]), least), 1)


def _places(
    key_B: Tensor, height: int, width: int, size: tuple[int, int], blocks: int, tries: int, purpose: str
) -> tuple[Tensor, Tensor]:
    """Top rows and left columns of blocks of this size, int64 (B, R, b) each."""
    bits_B2Rb = random_bits(key_B, 2 * tries * blocks, purpose).view(-1, 2, tries, blocks)
    return bits_B2Rb[:, 0] % (height - size[0] + 1), bits_B2Rb[:, 1] % (width - size[1] + 1)


def _union(top_BRb: Tensor, left_BRb: Tensor, size: tuple[int, int], height: int, width: int) -> Tensor:
    """Bool (B, R, S), True where some block of a layout covers the cell."""
    rows_H, columns_W = (torch.arange(count, device=top_BRb.device) for count in (height, width))
    in_rows_BRbH = (rows_H >= top_BRb[..., None]) & (rows_H < top_BRb[..., None] + size[0])
    in_columns_BRbW = (columns_W >= left_BRb[..., None]) & (columns_W < left_BRb[..., None] + size[1])
    return (in_rows_BRbH.float().mT @ in_columns_BRbW.float() > 0.5).flatten(-2)


@cache
def _fixed(
    height: int, width: int, blocks: BlockSet, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """The layout that is always accepted, on the device: copied there once."""
    top, left = layouts_of(height, width, blocks).fixed[size]
    return torch.tensor(top, device=device), torch.tensor(left, device=device)


def _accepted(key_B: Tensor, grid: TokenGrid, size: tuple[int, int], blocks: BlockSet, purpose: str) -> Tensor:
    """The union of the first layout of each clip that is accepted: bool (B, S)."""
    height, width = grid.height, grid.width
    layouts = layouts_of(height, width, blocks)
    (hidden, context), tries = layouts.kept, layouts.tries
    drawn = _places(key_B, height, width, size, blocks.blocks, tries - 1, purpose)
    fixed = _fixed(height, width, blocks, size, key_B.device)
    top_BRb, left_BRb = (
        torch.cat([some, last.expand(len(key_B), 1, -1)], dim=1) for some, last in zip(drawn, fixed, strict=True)
    )
    covered_BRS = _union(top_BRb, left_BRb, size, height, width)
    count_BR = covered_BRS.sum(-1)
    accepted_BR = (count_BR >= hidden) & (grid.per_slice - count_BR >= context)
    first_B = (accepted_BR * torch.arange(tries, 0, -1, device=key_B.device)).argmax(1)
    return covered_BRS.gather(1, first_B[:, None, None].expand(-1, 1, grid.per_slice))[:, 0]


def _tubes(cells_BK: Tensor, grid: TokenGrid) -> Tensor:
    """The tokens of these cells in every slice, ascending: (B, T K)."""
    slices_T1 = torch.arange(grid.time, device=cells_BK.device)[:, None] * grid.per_slice
    return (cells_BK.sort(dim=1).values[:, None] + slices_T1).flatten(1)
