"""The embedded clips: a small action data set that the package makes itself, as real video files.

Ten classes told apart by motion alone (`vmae_zoo.datasets.synthetic.scene`), in
HMDB51's layout with three official-style
splits. They are made on first use, in seconds, and kept in the user's cache folder.
"""

import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from tqdm import tqdm

from vmae_zoo.cache_folder import cache_folder
from vmae_zoo.datasets.synthetic.scene import CLASSES, FRAMES, SIDE, frames_of
from vmae_zoo.randomness import hash_text, sample_key

VERSION = 2
CLIPS = 36  # of a class; a third of them is the test share of each split
FPS = 25
SPLITS = 3


def demo_root() -> Path:
    """The folder of the embedded clips, made where it is not there yet.

    It lies in ``VMAE_ZOO_CACHE``, else in ``vmae_zoo`` in the user's cache folder (``XDG_CACHE_HOME``, ``~/.cache``).
    Two processes may make it at once: the first to finish wins, and nobody sees half of it.
    """
    root = cache_folder() / f"demo-{VERSION}"
    if root.is_dir():
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".demo-{VERSION}-", dir=root.parent))
    except OSError as error:
        raise ValueError(
            f"the embedded clips cannot be made in {root.parent}: {error.strerror}; set VMAE_ZOO_CACHE"
        ) from None
    try:
        make_demo(partial)
        partial.chmod(0o755)
        try:
            partial.rename(root)
        except OSError:  # another process was faster
            if not root.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def make_demo(folder: Path, clips: int = CLIPS, workers: int | None = None) -> None:
    """Write the embedded clips and their split files into a folder."""
    names = [(label, f"{label}_{number:03d}") for label in CLASSES for number in range(clips)]
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    jobs = [(folder / label / f"{name}.mp4", label, clip_key(name)) for label, name in names]
    if not sys.stderr.isatty():
        print(f"making the {len(jobs)} embedded clips, once ...", file=sys.stderr, flush=True)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the clips are the threads' work
    with (
        ThreadPoolExecutor(workers or os.cpu_count()) as pool,
        tqdm(total=len(jobs), desc="making the embedded clips", unit="clip", disable=None, file=sys.stderr) as bar,
    ):
        for _ in pool.map(lambda job: _write(*job), jobs):
            bar.update()
    cv2.setNumThreads(threads)
    (folder / "splits").mkdir()
    for split in range(1, SPLITS + 1):
        for label in CLASSES:
            uses = [2 if number % SPLITS == split - 1 else 1 for number in range(clips)]
            lines = [f"{label}_{number:03d}.mp4 {use}\n" for number, use in enumerate(uses)]
            (folder / "splits" / f"{label}_test_split{split}.txt").write_text("".join(lines))


def clip_key(name: str) -> int:
    """The key that an embedded clip is drawn from."""
    return sample_key(VERSION, 0, hash_text(name))


def _write(path: Path, label: str, key: int) -> None:
    encode(path, frames_of(label, key))


def encode(path: Path, clip: np.ndarray, fps: int = FPS) -> None:
    """Write uint8 (T, H, W, 3) as H.264, a keyframe every 16 frames, no B-frames: quick to decode from any place."""
    options = {"preset": "veryfast", "tune": "fastdecode", "crf": "20", "threads": "1"}
    fixed = {"g": "16", "keyint_min": "16", "sc_threshold": "0", "bf": "0"}
    with av.open(str(path), "w", options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={**options, **fixed})
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        converter = VideoReformatter()  # a frame's own makes a new context each time
        for pixels in clip:
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            container.mux(stream.encode(converter.reformat(frame, format="yuv420p", threads=1)))
        container.mux(stream.encode())


__all__ = ["CLASSES", "FRAMES", "SIDE", "demo_root", "encode", "make_demo"]
