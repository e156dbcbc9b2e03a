"""The frame rate of a video by the times of its frames."""

from collections.abc import Sequence

import numpy as np


def sorted_times(times: Sequence[int | None], container: str, b_frames: bool) -> np.ndarray | None:
    """Times of all frames, in ticks, ascending; missing and repeated ones lie evenly between their neighbors.

    None if fewer than half are known, for AVI files with B-frames, which store no presentation times, and for MPEG
    streams if any is missing or repeated, because FFmpeg then fills in times that are wrong.
    """
    known = np.array([position for position, time in enumerate(times) if time is not None])
    if (container == "avi" and b_frames) or 2 * len(known) < len(times):
        return None
    values, first = np.unique(np.sort([time for time in times if time is not None]), return_index=True)
    if len(values) < 2 or (container.startswith("mpeg") and len(values) < len(times)):
        return None
    known = known[first]
    step = np.median(np.diff(values) / np.diff(known))
    positions = np.arange(len(times))
    filled = np.interp(positions, known, values)
    filled += step * (np.minimum(positions - known[0], 0) + np.maximum(positions - known[-1], 0))
    return filled.round().astype(np.int64)


def is_uneven(gaps: np.ndarray, step: float) -> bool:
    """Whether the distances of frames, in ticks of ``step`` seconds, vary by more than the container's rounding.

    The first and the last one may differ by a frame, because some containers shift the first or the last time.
    """
    if len(gaps) < 2:
        return False
    usual = float(np.median(gaps))
    allowed = max(2, 0.1 * usual, 0.0015 / step if step else 0)
    inner, ends = (gaps[1:-1], gaps[[0, -1]]) if len(gaps) > 3 else (gaps, gaps)
    return bool(np.ptp(inner) > allowed or np.abs(ends - usual).max() > max(usual, allowed))


def frame_rate(times: np.ndarray | None, step: float, stated: float) -> tuple[float, bool]:
    """Mean frame rate, and whether the frames are evenly spaced.

    The stated rate is returned if there are no times, or if it differs from their mean by less than 2 %.

    Ascending times are in ticks of ``step`` seconds; a step or stated rate of 0 is unknown.
    """
    if times is None or len(times) < 3 or not step or times[0] == times[-1]:
        return stated, True
    mean = float((len(times) - 1) / ((times[-1] - times[0]) * step))
    uneven = is_uneven(np.diff(times), step)
    return (stated if not uneven and abs(stated - mean) < 0.02 * mean else mean), not uneven
