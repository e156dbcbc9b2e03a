"""What a video is said to hold, and the error of one that cannot be read."""

from dataclasses import dataclass


class VideoError(ValueError):
    """A file that cannot be read as a video; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file holds.

    Args:
        frames: frames that a decode yields, not the header's word.
        height: rows in pixels, after the display rotation.
        width: columns in pixels, after the display rotation.
        fps: mean frames a second by the header; 0 where it does not say.
        codec: FFmpeg's name of the codec, for example ``"h264"``.
        rotation: display rotation in degrees counterclockwise, already applied to height, width and frames.
        seekable: whether `read_clip` may begin at a keyframe; otherwise it counts from the start.
    """

    frames: int
    height: int
    width: int
    fps: float
    codec: str
    rotation: int
    seekable: bool
