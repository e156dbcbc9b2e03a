"""What the data module refuses at once, in the words of the keys that users set."""

from collections.abc import Mapping, Sequence

from vmae_zoo.data.dataset import CROPS, SAMPLINGS
from vmae_zoo.data.sampling import FPS


def check_settings(
    counts: Mapping[str, int], crop: str, sampling: str, area: Sequence[float], fps: Sequence[float]
) -> None:
    """``ValueError`` for a count below 1, an unknown word or an impossible range.

    Args:
        counts: settings that count from 1.
        crop: one of `CROPS`.
        sampling: one of `SAMPLINGS`.
        area: lowest and highest share of the frame.
        fps: rates, positive.
    """
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"data.{name} = {value}: it counts from 1")
    for name, given, known in (("crop", crop, CROPS), ("sampling", sampling, SAMPLINGS)):
        if given not in known:
            raise ValueError(f"data.{name} = {given!r} is not known: choose one of {', '.join(known)}")
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"data.area = {tuple(area)} is not a range of shares: choose 0 < lowest <= highest <= 1")
    if not fps or min(fps) <= 0:
        raise ValueError(f"data.fps = {list(fps)}: give one or more positive rates")
    if sampling != "span" and tuple(fps) != (FPS,):
        raise ValueError(f"data.fps = {list(fps)} counts only where clips are taken by time: add --data.sampling span")
