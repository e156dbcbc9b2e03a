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
        fps: mean frame rate stated by the header; 0 if it states none.
        codec: FFmpeg's name of the codec, for example ``"h264"``.
        rotation: display rotation in degrees counterclockwise. Its nearest right angle, and mirrors of the display
            matrix, are already applied to height, width and frames.
        seekable: whether `read_clip` can start at a keyframe; otherwise it decodes from the first frame.
    """

    frames: int
    height: int
    width: int
    fps: float
    codec: str
    rotation: int
    seekable: bool
