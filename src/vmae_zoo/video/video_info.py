"""Video metadata, and the error for an unreadable video."""

from dataclasses import dataclass


class VideoError(ValueError):
    """A file that cannot be read as a video; the message names the file and the reason."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Video metadata.

    Args:
        frames: number of frames that decoding yields; headers are often wrong about it.
        height: rows in pixels, after the display rotation.
        width: columns in pixels, after the display rotation.
        fps: mean frame rate by the times of the frames; that of the header without times; 0 if both are missing.
        codec: FFmpeg's name of the codec, for example ``"h264"``.
        rotation: display rotation in degrees counterclockwise. Its nearest right angle, and mirrors of the display
            matrix, are already applied to height, width and frames.
        seekable: whether `read_clip` can start at a keyframe; otherwise it decodes from the first frame.
        constant_rate: whether the frames are evenly spaced in time, or have no times.
        time_step: seconds per tick of the frames' times; 0 if they have none.
    """

    frames: int
    height: int
    width: int
    fps: float
    codec: str
    rotation: int
    seekable: bool
    constant_rate: bool = True
    time_step: float = 0.0
