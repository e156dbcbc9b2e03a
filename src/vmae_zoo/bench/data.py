"""``vmae-zoo bench data``: clips a second that one core decodes from some videos, and how many a GPU wants.

Every reader gives 16 frames of a video from the same random start, resized to the same short side, as uint8 RGB. Each
round times every reader once on every video, in turn, in processor time of this process with one thread, so that a busy
machine slows all alike. The first clip of a video, which finds out where its frames lie, is not timed. Readers that a
machine lacks are left out.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vmae_zoo.data.catalog.rows import list_videos
from vmae_zoo.data.decode import VideoError, VideoInfo, probe, read_clip
from vmae_zoo.data.index import find_index
from vmae_zoo.data.sampling import dense_ids, dense_start
from vmae_zoo.randomness import Draws, hash_text, sample_key

NEEDED = {  # clips a second of VideoMAE pre-training on one H100 at 25 % of its bf16 peak, from the FLOPs of a step
    "small": 3670,
    "base": 1183,
    "large": 291,
    "huge": 174,
}
PEAKS = {"H100": 1.0, "H200": 1.0, "A100": 0.315, "RTX 4090": 0.167, "L4": 0.122, "V100": 0.126}  # of an H100's

Reader = Callable[[Path, np.ndarray, tuple[int, int]], np.ndarray]


def readers() -> dict[str, Reader]:
    """Name and function of each way to read a clip that this machine has."""
    found: dict[str, Reader] = {"vmae_zoo": _ours, "pyav from frame 0": _pyav, "opencv": _opencv}
    try:
        import torchcodec

        def by_torchcodec(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
            import cv2

            decoder = torchcodec.decoders.VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC")
            frames = decoder.get_frames_at(ids.tolist()).data.numpy()
            return np.stack([cv2.resize(frame, size[::-1]) for frame in frames])

        found["torchcodec"] = by_torchcodec
    except (ImportError, OSError, RuntimeError):  # it wants FFmpeg's libraries, and may want CUDA's
        pass
    try:
        import decord

        def by_decord(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
            video = decord.VideoReader(str(path), num_threads=1, height=size[0], width=size[1])
            return video.get_batch(ids.tolist()).asnumpy()

        found["decord"] = by_decord
    except (ImportError, OSError):
        pass
    return found


def _ours(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return read_clip(path, ids, min(size))


def _pyav(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """From frame 0, each wanted frame converted and resized by itself, as in model hubs' examples."""
    import av
    import cv2

    wanted, frames = set(ids.tolist()), {}
    with av.open(str(path), metadata_errors="replace") as container:
        container.streams.video[0].thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                frames[number] = cv2.resize(frame.to_ndarray(format="rgb24"), size[::-1])
            if number >= ids.max():
                break
    return np.stack([frames[number] for number in ids.tolist()])


def _opencv(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    video.set(cv2.CAP_PROP_POS_FRAMES, int(ids[0]))
    wanted, frames = set(ids.tolist()), {}
    for number in range(int(ids[0]), int(ids.max()) + 1):
        if not video.grab():
            raise VideoError(f"{path} ends early in OpenCV")
        if number in wanted:
            frames[number] = cv2.cvtColor(cv2.resize(video.retrieve()[1], size[::-1]), cv2.COLOR_BGR2RGB)
    return np.stack([frames[number] for number in ids.tolist()])


def measure(paths: Sequence[Path], rounds: int, short_side: int, stride_frames: int = 4) -> dict[str, Any]:
    """Milliseconds of processor time per clip of every reader, by video; videos that cannot be read are named."""
    milliseconds: dict[str, dict[str, list[float]]] = {name: {} for name in readers()}
    failed: list[str] = []
    for number, path in enumerate(paths):
        print(f"\rvideo {number + 1} of {len(paths)}", end="", file=sys.stderr, flush=True)
        try:
            info = probe(path)
            read_clip(path, [0], short_side)
        except VideoError as error:
            failed.append(str(error))
            continue
        for turn in range(rounds):
            draws = Draws(sample_key(0, turn, hash_text(path.name)), "start")
            ids = dense_ids(info.frames, 16, stride_frames, dense_start(info.frames, 16, stride_frames, draws))
            for name, read in readers().items():
                start = time.process_time()
                try:
                    read(path, ids, _size(info, short_side))
                except Exception as error:  # another reader's failure is a result
                    failed.append(f"{name}: {path.name}: {error}")
                    continue
                spent = 1000 * (time.process_time() - start)
                milliseconds[name].setdefault(path.name, []).append(spent)
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return {"milliseconds": milliseconds, "failed": failed}


def _size(info: VideoInfo, short_side: int) -> tuple[int, int]:
    height, width = info.height, info.width
    short = min(height, width)
    return tuple(short_side if s == short else 2 * round(s * short_side / short / 2) for s in (height, width))  # type: ignore


def summary(milliseconds: dict[str, list[float]]) -> dict[str, float]:
    """Clips a second over all videos (each weighs the same), median and quartiles of the milliseconds of a clip."""
    medians = [statistics.median(values) for values in milliseconds.values()]
    low, middle, high = np.percentile([value for values in milliseconds.values() for value in values], (25, 50, 75))
    named = {"clips_per_second": 1000 / statistics.mean(medians), "median_ms": middle, "low_ms": low, "high_ms": high}
    return {name: round(float(value), 2) for name, value in named.items()}


def advice(per_core: float, cores: int, model: str, device: str, repeats: int) -> str:
    """What to do about it, in a sentence."""
    needed = NEEDED[model] * PEAKS[device]
    share = per_core * cores * repeats / needed
    said = f"{cores} workers x {per_core:.1f} clips/s x {repeats} repeats feed {100 * share:.0f} % of a {device} "
    said += f"that pre-trains {model} ({needed:.0f} clips/s at 25 % of its peak)"
    if share >= 1:
        return f"{said}: decoding is not the bottleneck"
    return f"{said}: {needed / per_core / repeats:.0f} cores would do; repeats, smaller videos or a shorter GOP help"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("roots", nargs="+", type=Path, metavar="DIR", help="videos; several folders are compared")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="clips of each video (default 5)")
    parser.add_argument("--limit", type=int, default=40, metavar="N", help="videos of each folder (default 40)")
    parser.add_argument("--short-side", type=int, default=256, metavar="N", help="pixels (default 256)")
    parser.add_argument("--model", choices=NEEDED, default="base", help="to be fed (default base)")
    parser.add_argument("--device", choices=PEAKS, default="H100", help="that trains it (default H100)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N", help="default: one per core")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="clips of a decoded video (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every number to this file")
    parser.epilog = "example: vmae-zoo bench data /data/hmdb51 --model base --device H100 --workers 16"


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    import cv2

    cv2.setNumThreads(1)
    results = {}
    for root in args.roots:
        root = root.expanduser().absolute()
        videos = list_videos(root) if root.is_dir() else []
        if not videos:
            raise ValueError(f"{root} holds no videos: give a folder of them")
        chosen = videos[:: -(-len(videos) // args.limit)]
        found = measure(chosen, args.rounds, args.short_side)
        rows = {name: summary(times) for name, times in found["milliseconds"].items() if times}
        if "vmae_zoo" not in rows:
            raise ValueError(f"no video of {root} can be read: {found['failed'][0]}")
        print(f"{root}: {len(chosen)} of {len(videos)} videos, 16 frames stride 4, short side {args.short_side}")
        print(f"  {'reader':<18} {'clips/s/core':>12} {'median ms':>10}  quartiles    videos")
        for name, row in rows.items():
            quartiles = f"{row['low_ms']:.1f}-{row['high_ms']:.1f}"
            read = len(found["milliseconds"][name])
            print(f"  {name:<18} {row['clips_per_second']:>12.1f} {row['median_ms']:>10.1f}  {quartiles:<12} {read}")
        if found["failed"]:
            print(f"  not read: {len(found['failed'])}, for example {found['failed'][0]}")
        said = advice(rows["vmae_zoo"]["clips_per_second"], args.workers, args.model, args.device, args.repeats)
        print(said if find_index(root) else f"{said}; `vmae-zoo index` spares each worker the first look at a file")
        results[str(root)] = {"readers": rows, "advice": said, **found}
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0
