"""Running-cell masks for the decoder.

A 2 x 2 cell of places tiles every slice; in each slice another part of the cell is decoded, running through all four
places (Wang et al., "VideoMAE V2: Scaling Video Masked Autoencoders with Dual Masking", CVPR 2023, arXiv 2303.16727,
section 3.2). Ratio 0.5 from phase 0, ``x`` = not decoded:

    slice 0   1   2   3   4 = 0
          x.  ..  .x  xx
          .x  xx  x.  ..

Shapes: B clips, N tokens, M predicted.
"""

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.randomness import random_bits

PERIOD = 4  # places in the cell, and slices after which it is where it was
RATIOS = (0.25, 0.5, 0.75)


def running_cell(grid: TokenGrid, ratio: float, phase: int | Tensor) -> Tensor:
    """Where the decoder predicts: bool (N,), or (B, N) for int64 (B, 1) phases.

    True = decoded, the opposite of the official mask.

    Args:
        grid: the tokens of the clip; an even number along height and width.
        ratio: share of each cell that is not decoded: 0.25, 0.5 (the paper's choice) or 0.75.
        phase: 0 to 3, where in its run the cell starts.

    Raises:
        ValueError: another ratio, or a grid that 2 x 2 cells do not tile.
    """
    check_running_cell(grid, ratio)
    device = phase.device if isinstance(phase, Tensor) else None
    token_N = torch.arange(grid.tokens, device=device)
    slice_N, row_N, column_N = token_N // grid.per_slice, token_N // grid.width % grid.height, token_N % grid.width
    place_N = 2 * (row_N % 2) + column_N % 2
    return (place_N + slice_N + phase + 1) % PERIOD >= int(PERIOD * ratio)


def check_running_cell(grid: TokenGrid, ratio: float) -> None:
    """``ValueError`` where there is no such mask."""
    if ratio not in RATIOS:
        raise ValueError(
            f"decoder_mask_ratio = {ratio}: a 2 x 2 running cell can leave out 0.25, 0.5 or 0.75; "
            "0 decodes all that is hidden"
        )
    if grid.height % 2 or grid.width % 2:
        raise ValueError(
            f"the running cell tiles 2 x 2 places and the grid has {grid.height} x {grid.width}: choose an image_size "
            f"that is a multiple of {2 * grid.cube[1]}, or decoder_mask_ratio = 0"
        )


def dual_split(
    key_B: Tensor, encoder: TokenSplit, grid: TokenGrid, ratio: float, drop_doubled: bool = False
) -> TokenSplit:
    """Join an encoder mask with a running cell whose phase is drawn from the key, independently of that mask.

    As published, the decoder gets a mask token also for places the encoder sees (80 of 784 at 16 x 224 x 224 with a 0.9
    tube); these carry weight 0. All counts follow from the shapes, so nothing waits for the device.

    Args:
        key_B: int64 (B,) keys.
        encoder: what the encoder sees; only ``visible`` is read.
        grid: the tokens of the clip.
        ratio: share of each cell that is not decoded.
        drop_doubled: leave out those that the encoder sees. For masks constant in time, such as tubes.

    Raises:
        ValueError: see `running_cell`; or ``drop_doubled`` where the number left over would differ from clip to clip.
    """
    phase_B1 = random_bits(key_B, 1, "running cell") % PERIOD
    decoded_BN = running_cell(grid, ratio, phase_B1)
    predicted = grid.tokens // PERIOD * round(PERIOD * (1 - ratio))
    hidden_BN = encoder.hidden(grid.tokens)
    if drop_doubled:
        check_drop_doubled(grid)
        hidden = grid.tokens - encoder.visible.shape[1]
        return TokenSplit(
            encoder.visible, _first_true(decoded_BN & hidden_BN, hidden // PERIOD * round(PERIOD * (1 - ratio)))
        )
    predicted_BM = _first_true(decoded_BN, predicted)
    return TokenSplit(encoder.visible, predicted_BM, hidden_BN.gather(1, predicted_BM).float())


def check_drop_doubled(grid: TokenGrid) -> None:
    """``ValueError`` where clips would be left with different numbers of tokens."""
    if grid.time % PERIOD:
        raise ValueError(
            f"drop_doubled needs whole periods of {PERIOD} slices, and this clip has {grid.time}: choose frames as a "
            f"multiple of {PERIOD * grid.cube[0]}, or drop_doubled = false"
        )


def _first_true(mask_BN: Tensor, count: int) -> Tensor:
    """Ids of the ``count`` true places of each row, ascending; found without reading the mask back from a GPU."""
    return mask_BN.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]
