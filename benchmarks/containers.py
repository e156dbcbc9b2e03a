"""Verdicts of `vmae-zoo index` on healthy files of every container that the installed FFmpeg writes.

    python -m benchmarks.containers [RESULTS.json]

Each file has 60 frames of 176 x 144 pixels: at a constant or a variable rate, from a first time of 10 s, beside a
smaller preview stream, or with a display matrix (of the container, or of the H.264 stream). What is right follows from
the times that FFmpeg itself reads back, because not every container stores every time. The exit code is 1 if a healthy
file is called damaged, frames are miscounted, turned wrongly or read from the preview, or a rate is called wrong.
"""

import json
import struct
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition
from tqdm import tqdm

from vmae_zoo.datasets.audit import audit
from vmae_zoo.video.decode import probe, read_clip

FRAMES, HEIGHT, WIDTH = 60, 144, 176
CODECS = (
    "libx264", "libvpx", "libvpx-vp9", "mpeg2video", "mpeg4", "msmpeg4v3", "h263", "flv1", "wmv2", "mjpeg", "ffv1",
    "dvvideo", "gif", "rv10", "rawvideo",
)  # fmt: skip
SIZES = {"dvvideo": (576, 720)}  # of encoders that have no other
