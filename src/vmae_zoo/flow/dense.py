"""Optical flow that needs no weights: OpenCV's dense inverse search.

Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016, arXiv 1603.03590.
"""

import cv2
import numpy as np

PRESETS = {"ultrafast": 0, "fast": 1, "medium": 2}
SMALLEST = 12  # pixels of a frame that can be searched
_FINEST = 2  # halvings of the full frame at which the presets stop


def dis_flow(clip: np.ndarray, pairs: np.ndarray, shrink: int = 1, preset: str = "ultrafast") -> np.ndarray:
    """Flow between frames of a clip.

    The presets search on frames of a quarter of the size and enlarge what they find; so does this on shrunken frames,
    and enlarges less.

    Args:
        clip: uint8 (T, H, W, 3).
        pairs: int64 (P, 2): from which frame to which.
        shrink: 1, 2 or 4: the flow has 1 / shrink of the clip's rows and columns.
        preset: "ultrafast", "fast" or "medium".

    Returns:
        float32 (P, H / shrink, W / shrink, 2): x and y in pixels of its own size.
    """
    _, height, width, _ = clip.shape
    if min(height, width) // shrink < SMALLEST:
        raise ValueError(
            f"DIS flow needs frames of {SMALLEST} pixels, and {height} x {width} shrunk by {shrink} has fewer"
        )
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    if shrink > 1:
        grey = [cv2.resize(frame, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA) for frame in grey]
    search = cv2.DISOpticalFlow.create(PRESETS[preset])
    search.setFinestScale(max(_FINEST - (shrink.bit_length() - 1), 0))
    found = [search.calc(grey[here], grey[there], None) for here, there in pairs]  # type: ignore[call-overload]
    return np.stack(found)


def largest_shrink(size: tuple[int, int], divisor: int) -> int:
    """The largest ``shrink`` that divides ``divisor`` and leaves enough of frames of this size."""
    fits = (shrink for shrink in (4, 2) if divisor % shrink == 0 and min(size) // shrink >= SMALLEST)
    return next(fits, 1)
