"""Small videos in many codecs and containers."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

KINDS: dict[str, dict[str, Any]] = {  # file name -> arguments of `write_video`
    "h264.mp4": {"options": {"bf": "2"}},
    "h264_faststart.mp4": {"container": {"movflags": "+faststart"}},
    "h264_10bit.mp4": {"pix_fmt": "yuv420p10le"},
    "h264_vfr.mp4": {"variable_rate": True},
    "h264_rotated.mov": {"rotation": 90},
    "h264.mkv": {"options": {"bf": "2"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=error:pools=1:frame-threads=1"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "vp8.webm": {"codec": "libvpx", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "av1.mkv": {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}},
    "motion_jpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
}


def write_samples(folder: Path, frames: int = 60, height: int = 96, width: int = 128) -> list[Path]:
    """Write a video of each kind that this FFmpeg can encode."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("SVT_LOG", "0")  # else the AV1 encoder logs its settings
    written = []
    for name, settings in KINDS.items():
        try:
            written.append(write_video(folder / name, moving_pattern(frames, height, width), **settings))
        except (av.FFmpegError, ValueError):  # this build has no such encoder
            (folder / name).unlink(missing_ok=True)
    return written


def moving_pattern(frames: int, height: int, width: int) -> np.ndarray:
    """Moving waves and bars, every frame different: uint8 (T, H, W, 3), values 40 to 247."""
    t, y, x = np.ogrid[:frames, :height, :width]
    red = 143 + 100 * np.sin(x / 7 + t / 3 + 0 * y)
    green = 143 + 100 * np.cos(y / 5 - t / 4 + 0 * x)
    blue = np.where((x + y + 3 * t) % 32 < 16, 40, 200)
    return np.stack(np.broadcast_arrays(red, green, blue), axis=-1).astype(np.uint8)


def write_video(
    path: Path,
    clip: np.ndarray,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    rotation: int = 0,
    variable_rate: bool = False,
) -> Path:
    """Encode a clip at 25 frames per second with a keyframe every 24 frames.

    Args:
        path: file to write; its suffix selects the container.
        clip: uint8 (T, H, W, 3).
        codec: FFmpeg's name of the encoder.
        pix_fmt: FFmpeg's name of the pixel format.
        options: of the encoder.
        container: options of the container.
        rotation: display rotation in degrees counterclockwise.
        variable_rate: uneven presentation times.
    """
    with av.open(str(path), "w", options=container or {}) as file:
        stream: Any = file.add_stream(codec, rate=25, options={"threads": "1", **(options or {})})
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt, stream.gop_size = pix_fmt, 24
        stream.codec_context.thread_count = 1
        if variable_rate:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        converter = VideoReformatter()
        for number, pixels in enumerate(clip):
            frame = converter.reformat(av.VideoFrame.from_ndarray(pixels, "rgb24"), format=pix_fmt, threads=1)
            if variable_rate:
                frame.pts, frame.time_base = 40 * number + 15 * (number % 3), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path
