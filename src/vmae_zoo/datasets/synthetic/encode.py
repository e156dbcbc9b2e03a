"""Write clips as small H.264 files."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from tqdm import tqdm

from vmae_zoo.datasets.process_pool import file_workers

FPS = 25


def encode(path: Path, clip_THWC: np.ndarray, fps: int = FPS) -> None:
    """Write a clip as H.264 in MP4: a keyframe every 16 frames and no B-frames, so that any frame decodes quickly.

    The same clip gives the same bytes with the same build of x264. Height and width must be even.
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


def write_clips(write: Callable[[Any], None], jobs: Sequence[Any], workers: int | None = None) -> None:
    """Call ``write``, which draws and writes a clip, for each job, in ``workers`` processes; None: one per core."""
    if not sys.stderr.isatty():
        print(f"creating {len(jobs)} embedded clips, once ...", file=sys.stderr, flush=True)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # before the fork: a child that ends OpenCV's threads waits forever
    try:
        with (
            file_workers(workers or os.cpu_count() or 1) as pool,
            tqdm(total=len(jobs), desc="creating clips", unit="clip", disable=None, file=sys.stderr) as bar,
        ):
            for _ in pool.map(write, jobs, chunksize=20):
                bar.update()
    finally:
        cv2.setNumThreads(threads)
