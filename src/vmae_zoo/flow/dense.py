"""Optical flow without weights: OpenCV's dense inverse search (DIS).

Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016, arXiv 1603.03590.
"""

import cv2
import numpy as np

PRESETS = {"ultrafast": 0, "fast": 1, "medium": 2}
MIN_SIDE = 12  # pixels of the smallest frame that OpenCV takes
_FINEST = 2  # finest scale of the presets: two halvings of the frame


def dis_flow(clip: np.ndarray, pairs: np.ndarray, shrink: int = 1, preset: str = "ultrafast") -> np.ndarray:
    """Flow between frames of a clip.

    The presets estimate the flow at a quarter of the resolution and upsample it. With ``shrink`` the frames are reduced
    first, and the flow is upsampled less.

    Args:
        clip: uint8 (T, H, W, 3).
        pairs: int64 (P, 2), ids of the first and second frame of each pair.
        shrink: 1, 2 or 4: factor by which rows and columns of the flow are fewer than the clip's.
        preset: "ultrafast", "fast" or "medium".

    Returns:
        float32 (P, H / shrink, W / shrink, 2): x and y in pixels of that size.
    """
    _, height, width, _ = clip.shape
    if min(height, width) // shrink < MIN_SIDE:
        raise ValueError(
            f"DIS flow needs frames of at least {MIN_SIDE} pixels: {height} x {width} reduced by {shrink} is too small"
        )
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    if shrink > 1:
        gray = [cv2.resize(frame, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA) for frame in gray]
    estimator = cv2.DISOpticalFlow.create(PRESETS[preset])
    estimator.setFinestScale(max(_FINEST - (shrink.bit_length() - 1), 0))
    flows = [estimator.calc(gray[first], gray[second], None) for first, second in pairs]  # type: ignore[call-overload]
    return np.stack(flows)


def largest_shrink(size: tuple[int, int], divisor: int) -> int:
    """The largest ``shrink`` that divides ``divisor`` and leaves frames of this size large enough."""
    fits = (shrink for shrink in (4, 2) if divisor % shrink == 0 and min(size) // shrink >= MIN_SIDE)
    return next(fits, 1)
