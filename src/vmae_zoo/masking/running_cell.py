"""Running-cell masks of the decoder.

Every slice is tiled by cells of 2 x 2 tokens; the decoded part of the cell moves from slice to slice through all four
positions (Wang et al., "VideoMAE V2: Scaling Video Masked Autoencoders with Dual Masking", CVPR 2023, arXiv 2303.16727,
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

PERIOD = 4  # positions of the cell, and slices after which the pattern repeats
RATIOS = (0.25, 0.5, 0.75)


def running_cell(grid: TokenGrid, ratio: float, phase: int | Tensor) -> Tensor:
    """The tokens that the decoder predicts: bool (N,), or (B, N) for int64 (B, 1) phases.

    True = decoded, the inverse of the official mask.

    Args:
        grid: tokens of a clip; height and width must be even.
        ratio: fraction of each cell that is not decoded: 0.25, 0.5 (in the paper) or 0.75.
        phase: 0 to 3, position at which the pattern starts.

    Raises:
        ValueError: another ratio, or an odd height or width.
    """
    check_running_cell(grid, ratio)
    device = phase.device if isinstance(phase, Tensor) else None
    token_N = torch.arange(grid.tokens, device=device)
    slice_N, row_N, column_N = token_N // grid.per_slice, token_N // grid.width % grid.height, token_N % grid.width
    position_N = 2 * (row_N % 2) + column_N % 2
    return (position_N + slice_N + phase + 1) % PERIOD >= int(PERIOD * ratio)


def check_running_cell(grid: TokenGrid, ratio: float) -> None:
    """``ValueError`` if there is no running cell of this ratio for this grid."""
    if ratio not in RATIOS:
        raise ValueError(
            f"decoder_mask_ratio = {ratio}: choose 0.25, 0.5 or 0.75 for a 2 x 2 running cell, or 0 to decode all "
            "hidden tokens"
        )
    if grid.height % 2 or grid.width % 2:
        raise ValueError(
            f"a running cell needs an even number of tokens along height and width, got {grid.height} x {grid.width}: "
            f"choose an image_size that is a multiple of {2 * grid.cube[1]}, or decoder_mask_ratio = 0"
        )


def dual_split(
    key_B: Tensor, encoder: TokenSplit, grid: TokenGrid, ratio: float, drop_doubled: bool = False
) -> TokenSplit:
    """Combine the mask of the encoder with a running cell of random phase, independent of that mask.

    As published, the decoder also gets a mask token for decoded tokens that the encoder sees (80 of 784 at 16 x 224 x
    224 with a 0.9 tube); these have weight 0. All counts follow from the shapes, without a host-device sync.

    Args:
        key_B: int64 (B,) keys.
        encoder: mask of the encoder; only ``visible`` is used.
        grid: tokens of a clip.
        ratio: fraction of each cell that is not decoded.
        drop_doubled: leave out the tokens that the encoder sees; for masks that are constant in time, such as tubes.

    Raises:
        ValueError: see `running_cell`; or the clips would differ in their number of tokens with ``drop_doubled``.
    """
    phase_B1 = random_bits(key_B, 1, "running cell") % PERIOD
    decoded_BN = running_cell(grid, ratio, phase_B1)
    hidden_BN = encoder.hidden(grid.tokens)
    if drop_doubled:
        check_drop_doubled(grid)
        hidden = grid.tokens - encoder.visible.shape[1]
        return TokenSplit(encoder.visible, _first_true(decoded_BN & hidden_BN, _num_decoded(hidden, ratio)))
    predicted_BM = _first_true(decoded_BN, _num_decoded(grid.tokens, ratio))
    return TokenSplit(encoder.visible, predicted_BM, hidden_BN.gather(1, predicted_BM).float())


def check_drop_doubled(grid: TokenGrid) -> None:
    """``ValueError`` if the clips would differ in their number of tokens."""
    if grid.time % PERIOD:
        raise ValueError(
            f"drop_doubled needs a multiple of {PERIOD} time slices, and this clip has {grid.time}: choose frames as a "
            f"multiple of {PERIOD * grid.cube[0]}, or drop_doubled = false"
        )


def _num_decoded(tokens: int, ratio: float) -> int:
    return tokens // PERIOD * round(PERIOD * (1 - ratio))


def _first_true(mask_BN: Tensor, count: int) -> Tensor:
    """Ids of the first ``count`` true values of each row, ascending, without reading the mask back to the host."""
    return mask_BN.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]
