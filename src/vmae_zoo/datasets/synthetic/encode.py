"""Write a clip as a small H.264 file."""

from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

FPS = 25


def encode(path: Path, clip_THWC: np.ndarray, fps: int = FPS) -> None:
    """Write a clip as H.264 in MP4: a keyframe every 16 frames and no B-frames, so that any frame decodes quickly.

    The same clip gives the same bytes with the same build of x264.

    Args:
        path: the file to write.
        clip_THWC: uint8 RGB frames with even height and width.
        fps: frame rate.
    """
    options = {"preset": "veryfast", "tune": "fastdecode", "crf": "20", "threads": "1"}
    fixed = {"g": "16", "keyint_min": "16", "sc_threshold": "0", "bf": "0"}
    with av.open(str(path), "w", options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={**options, **fixed})
        stream.height, stream.width = clip_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        converter = VideoReformatter()  # VideoFrame.reformat would create a new context for every frame
        for pixels in clip_THWC:
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            container.mux(stream.encode(converter.reformat(frame, format="yuv420p", threads=1)))
        container.mux(stream.encode())
