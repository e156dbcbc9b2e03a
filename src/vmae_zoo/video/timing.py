"""The frame rate of a video by the times of its frames."""

from collections.abc import Sequence

import numpy as np


def sorted_times(times: Sequence[int | None], container: str) -> np.ndarray | None:
    """Times of all frames in ascending order; None if one is missing, repeated or, in AVI files, not stored."""
    if container == "avi" or any(time is None for time in times) or len(set(times)) < len(times):
        return None
    return np.sort(np.array(times, np.int64))


def is_uneven(gaps: np.ndarray, step: float) -> bool:
    """Whether the distances of frames vary by more than the container's rounding.

    Args:
        gaps: distances of neighboring frames in ticks.
        step: seconds per tick; 0 if unknown.
    """
    if len(gaps) < 2:
        return False
    allowed = max(2, 0.1 * float(np.median(gaps)), 0.0015 / step if step else 0)
    return bool(gaps.max() - gaps.min() > allowed)


def frame_rate(times: np.ndarray | None, step: float, stated: float) -> tuple[float, bool]:
    """Mean frame rate, and whether the frames are evenly spaced.

    The stated rate is returned if there are no times, or if it differs from their mean by less than 2 %.

    Args:
        times: ascending, in ticks.
        step: seconds per tick; 0 if unknown.
        stated: frames per second by the header; 0 if it states none.
    """
    if times is None or len(times) < 3 or not step:
        return stated, True
    mean = float((len(times) - 1) / ((times[-1] - times[0]) * step))
    uneven = is_uneven(np.diff(times), step)
    return (stated if not uneven and abs(stated - mean) < 0.02 * mean else mean), not uneven
