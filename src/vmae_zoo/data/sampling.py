"""Rules for choosing the frames of a clip: pure functions of the video's length and a random or given position.

Pre-training: VideoMAE (Tong et al., NeurIPS 2022, arXiv 2203.12602) and V2 (Wang et al., CVPR 2023, arXiv 2303.16727)
take every ``stride``-th frame from a random start, `dense_start` and `dense_ids`. Fine-tuning: `window_end` and
`window_ids` (dense), `segment_ids` (one frame per segment: Wang et al., "Temporal Segment Networks", ECCV 2016),
`sparse_ids` (V2's ``--sparse_sample``). Test: `dense_view_ids`, `segment_view_ids`. Space-time MAE (Feichtenhofer et
al., NeurIPS 2022, arXiv 2205.09113): `clip_span`, `span_start` and `span_ids`.

Ids are int64 and 0-based. The official programs use numpy's global generator; here random numbers come from the
sample's key.
"""

import numpy as np

from vmae_zoo.randomness import KeyedRNG

FPS = 30.0  # frames per second at which strides count when clips are sampled by time (space-time MAE)


def dense_start(total: int, frames: int, stride: int, rng: KeyedRNG) -> int:
    """A random start from which the whole clip fits; 0 for videos of up to ``frames * stride`` frames."""
    return rng.integer(0, max(total - frames * stride, 0) + 1)


def dense_ids(total: int, frames: int, stride: int, start: int) -> np.ndarray:
    """Every ``stride``-th frame from ``start``; past the end of the video the last one is repeated.

    As in the official programs, the last frame of the video is never used: 61 frames give 0, 4, ..., 56, 56, not 60.
    """
    steps = max((total - start - 2) // stride, 0)
    return start + stride * np.minimum(np.arange(frames), steps)


def window_end(total: int, frames: int, stride: int, rng: KeyedRNG | None = None) -> int:
    """End of the window of ``frames * stride`` frames that fine-tuning reads: random; the middle one without rng."""
    window = frames * stride
    if total <= window:
        return total
    return (window + total) // 2 if rng is None else rng.integer(window, total)


def window_ids(total: int, frames: int, stride: int, end: int) -> np.ndarray:
    """Frames spread over the window before ``end``, both ends included, so slightly more than ``stride`` apart.

    A video no longer than the window gives ``total // stride`` frames spread over all of it, then repeats its last one.
    """
    window = frames * stride
    if total <= window:
        spread = np.linspace(0, total, num=total // stride)
        padded = np.concatenate([spread, np.full(frames - len(spread), total)])
        return np.clip(padded, 0, total - 1).astype(np.int64)
    return np.clip(np.linspace(end - window, end, num=frames), end - window, end - 1).astype(np.int64)


def segment_ids(total: int, frames: int, rng: KeyedRNG | None = None) -> np.ndarray:
    """One frame of each of ``frames`` equal segments: a random one, or the middle one (validation) without rng.

    A video with fewer frames than segments gives copies of its first frame, then all frames (V2's rule; V1 gives only
    copies of the first).
    """
    length = total // frames
    if length == 0:
        return np.maximum(np.arange(total - frames, total), 0)
    within = [length // 2 if rng is None else rng.integer(0, length) for _ in range(frames)]
    return np.arange(frames) * length + np.array(within)


def sparse_ids(total: int, frames: int, rng: KeyedRNG | None = None) -> np.ndarray:
    """One frame of each segment but never its last: a random one, or the middle one (validation) without rng.

    A video with fewer frames than segments follows `segment_ids` (V2's program gives frame -1 for all).
    """
    length = total // frames
    if length == 0:
        return segment_ids(total, frames)
    last = max(length - 1, 1)
    within = [(1 + length) // 2 - 1 if rng is None else rng.integer(0, last) for _ in range(frames)]
    return np.arange(frames) * length + np.array(within)


def dense_view_ids(total: int, frames: int, stride: int, view: int, views: int) -> np.ndarray:
    """Test clip ``view`` of ``views``: every ``stride``-th frame, divided into clips spread over the video.

    A single view is the middle clip. A video too short for one clip repeats its last frame.
    """
    strided = np.arange(0, total, stride)
    room = max(len(strided) - frames, 0)
    first = int(view * (room / (views - 1))) if views > 1 else room // 2
    return strided[np.minimum(first + np.arange(frames), len(strided) - 1)]


def segment_view_ids(total: int, frames: int, view: int, views: int) -> np.ndarray:
    """Test clip ``view`` of ``views``: one frame per segment, at ``view / views`` of the segment's length."""
    length = total / frames
    return (view * length / views + length * np.arange(frames)).astype(np.int64)


def clip_span(frames: int, stride: int, fps: float, target: float = 30) -> float:
    """Frames spanned by a clip with the duration of ``frames * stride`` frames at ``target`` fps (30 in the paper)."""
    return frames * stride * fps / target


def span_start(total: int, span: float, rng: KeyedRNG) -> float:
    """A random start, not necessarily an integer, from which the span fits; 0 for shorter videos."""
    return rng.uniform(0, max(total - span, 0))


def span_view_start(total: int, span: float, view: int, views: int) -> int:
    """Start of test clip ``view`` of ``views``, in steps of whole frames; a single view is the middle one."""
    room = max(total - span, 0)
    return int(room / 2) if views == 1 else view * int(room / (views - 1))


def span_ids(total: int, frames: int, span: float, start: float) -> np.ndarray:
    """Frames spread over ``[start, start + span - 1]``; frames past the end are replaced by the last one."""
    return np.clip(np.linspace(start, start + span - 1, num=frames), 0, total - 1).astype(np.int64)
