"""Whether a copy of a video shows the frames of its source."""

from collections.abc import Iterable

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of R, G, B in BT.601
MIN_PSNR = 28.0  # dB of the luma over all compared frames


def describe_difference(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> str:
    """How much a copy differs from its source; "" if its luma PSNR is at least `MIN_PSNR`.

    Args:
        pairs: frames of the copy and of the source, uint8 RGB of the same shape.
    """
    error, values = 0.0, 0
    for copy, source in pairs:
        difference = copy @ LUMA - source @ LUMA
        error += float(np.square(difference).sum())
        values += difference.size
    psnr = 10 * np.log10(255**2 * values / max(error, 1e-9))
    return "" if psnr >= MIN_PSNR else f"the copy has a PSNR of {psnr:.1f} dB, less than {MIN_PSNR:.0f}"
