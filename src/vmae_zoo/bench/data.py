"""``vmae-zoo bench data``: clips per second that a core decodes, and how many a GPU needs.

Every reader returns 16 frames of a video from the same random start, resized to the same short side, as uint8 RGB. Each
round times every reader once on every video, in turn, in processor time of this process with one thread, so that other
load on the machine slows all of them. The first clip of a video, which reads its packets, is not timed. With
``--copies`` the same videos are also read from copies made by `vmae-zoo reencode` and `vmae-zoo cache`.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vmae_zoo.bench.readers import ours, readers
from vmae_zoo.data.sampling import dense_ids, dense_start
from vmae_zoo.datasets.index import find_index
from vmae_zoo.datasets.jpeg_shards.writer import make_shard
from vmae_zoo.datasets.reencode import reencode_file
from vmae_zoo.datasets.scan import list_videos
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key
from vmae_zoo.setting_checks import check_least
from vmae_zoo.training.flops import PEAK_TFLOPS
from vmae_zoo.video.decode import VideoError, VideoInfo, probe, read_clip
from vmae_zoo.video.jpeg_shards import ShardEntry

NEEDED = {  # clips/s of VideoMAE pre-training on one H100 at 25 % of its bf16 peak, from the FLOPs of a step
    "small": 3670,
    "base": 1183,
    "large": 291,
    "huge": 174,
}
WORTH = 1.2  # speed-up from which a copy is recommended

Times = dict[str, dict[str, list[float]]]  # reader -> video -> milliseconds of each clip


def copies_of(paths: Sequence[Path], folder: Path, short_side: int, quality: int) -> dict[str, dict[Path, Path]]:
    """Paths of re-encoded and cached copies, by original; videos that cannot be copied are left out."""
    copies: dict[str, dict[Path, Path]] = {"re-encoded": {}, "cached": {}}
    for number, path in enumerate(tqdm(paths, "copies", unit="video", disable=None)):
        copy = folder / f"{number}.mp4"
        if not reencode_file(path, copy, short_side):
            copies["re-encoded"][path] = copy
    make_shard(
        0, [(str(path), path) for path in paths], {str(path): [] for path in paths}, folder, short_side, quality, ""
    )
    places = json.loads((folder / "shard-000000.json").read_text())["videos"]
    copies["cached"] = {
        Path(name): ShardEntry(folder / "shard-000000.tar", *place).path for name, place in places.items()
    }
    return copies


def measure(
    paths: Sequence[Path],
    rounds: int,
    short_side: int,
    stride_frames: int = 4,
    copies: Mapping[str, Mapping[Path, Path]] | None = None,
) -> dict[str, Any]:
    """Time every reader and copy on every video.

    Returns:
        "milliseconds" of processor time per clip, by reader and video; "codecs" of the videos; "failed", messages.
    """
    copies = copies or {}
    milliseconds: Times = {name: {} for name in [*readers(), *copies]}
    failed: list[str] = []
    codecs: dict[str, str] = {}
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # one of the readers prints what it cannot decode
    for path in tqdm(paths, "reading", unit="video", disable=None, leave=False):
        try:
            info = probe(path)
            read_clip(path, [0], short_side)
            for of in copies.values():
                if path in of:
                    read_clip(of[path], [0], short_side)
        except VideoError as error:
            failed.append(str(error))
            continue
        video = str(path)
        codecs[video] = info.codec
        for turn in range(rounds):
            rng = KeyedRNG(sample_key(0, turn, hash_text(path.name)), "start")
            ids = dense_ids(info.frames, 16, stride_frames, dense_start(info.frames, 16, stride_frames, rng))
            timed = [(name, read, path) for name, read in readers().items()]
            timed += [(name, ours, of[path]) for name, of in copies.items() if path in of]
            for name, read, file in timed:
                start = time.process_time()
                try:
                    read(file, ids, _size(info, short_side))
                except Exception as error:  # a failure of another library is a result
                    failed.append(f"{name}: {path.name}: {error}")
                    continue
                spent = 1000 * (time.process_time() - start)
                milliseconds[name].setdefault(video, []).append(spent)
    return {"milliseconds": milliseconds, "codecs": codecs, "failed": failed}


def _size(info: VideoInfo, short_side: int) -> tuple[int, int]:
    height, width = info.height, info.width
    short = min(height, width)
    return tuple(short_side if s == short else 2 * round(s * short_side / short / 2) for s in (height, width))  # type: ignore


def summary(milliseconds: dict[str, list[float]]) -> dict[str, float]:
    """Clips per second over all videos, weighted equally, and median and quartiles of the milliseconds per clip."""
    medians = [statistics.median(values) for values in milliseconds.values()]
    low, middle, high = np.percentile([value for values in milliseconds.values() for value in values], (25, 50, 75))
    named = {"clips_per_second": 1000 / statistics.mean(medians), "median_ms": middle, "low_ms": low, "high_ms": high}
    return {name: round(float(value), 2) for name, value in named.items()}


def gains(found: dict[str, Any], codec: str) -> dict[str, dict[str, float]]:
    """Speed-up of every other reader and copy over `read_clip` on the original videos of a codec.

    "mean" is over all of these videos; "low" and "high" are those of single videos.
    """
    times = found["milliseconds"]
    medians = {
        name: {video: statistics.median(spent) for video, spent in of.items() if found["codecs"][video] == codec}
        for name, of in times.items()
    }
    found_gains = {}
    for name, of in medians.items():
        if name != "vmae_zoo" and of:
            base = {video: medians["vmae_zoo"][video] for video in of}
            each = [base[video] / of[video] for video in of]
            mean = sum(base.values()) / sum(of.values())
            numbers = {"videos": len(of), "mean": mean, "low": min(each), "high": max(each)}
            found_gains[name] = {name: round(value, 2) for name, value in numbers.items()}
    return found_gains


def advice(per_core: float, cores: int, model: str, device: str, repeats: int) -> str:
    """Whether decoding is the bottleneck, and what to do, as a sentence."""
    needed = NEEDED[model] * PEAK_TFLOPS[device] / PEAK_TFLOPS["H100"]
    share = per_core * cores * repeats / needed
    supply = f"{cores} workers x {per_core:.1f} clips/s x {repeats} repeats are {100 * share:.0f} % of what a {device} "
    supply += f"needs to pre-train {model} ({needed:.0f} clips/s at 25 % of its peak)"
    if share >= 1:
        return f"{supply}: decoding is not the bottleneck"
    return f"{supply}: it needs {needed / per_core / repeats:.0f} cores; repeats, `reencode` and `cache` reduce that"


def advice_on_copies(codec: str, codec_gains: dict[str, dict[str, float]]) -> str:
    """Which copies of the videos of a codec are worth making, as a sentence."""
    parts = []
    for name, action in (("re-encoded", "re-encode them"), ("cached", "cache them")):
        if name in codec_gains:
            mean, low, high = (codec_gains[name][number] for number in ("mean", "low", "high"))
            recommendation = action if mean >= WORTH else f"do not {action}"
            parts.append(f"{recommendation} ({mean:.1f} times as fast, {low:.1f} to {high:.1f})")
    return f"{codec}: {'; '.join(parts) or 'no video could be copied'}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("roots", nargs="+", type=Path, metavar="DIR", help="folder of videos; several are compared")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="clips per video (default 5)")
    parser.add_argument("--limit", type=int, default=40, metavar="N", help="videos per folder (default 40)")
    parser.add_argument("--short-side", type=int, default=256, metavar="N", help="pixels (default 256)")
    parser.add_argument("--copies", action="store_true", help="also read copies made by `reencode` and `cache`")
    parser.add_argument("--quality", type=int, default=90, metavar="Q", help="JPEG quality of the cache (default 90)")
    parser.add_argument("--model", choices=NEEDED, default="base", help="model to pre-train (default base)")
    parser.add_argument(
        "--device", choices=PEAK_TFLOPS, default="H100", metavar="GPU", help="GPU to train on (default H100)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N", help="default: one per core")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="clips per decoded video (default 1)")
    parser.epilog = "example: vmae-zoo bench data /data/hmdb51 --copies --model base --device H100 --workers 16"


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns all numbers, by folder."""
    least = {"rounds": args.rounds, "limit": args.limit, "workers": args.workers, "repeats": args.repeats}
    check_least("--", 1, **least, **{"short-side": args.short_side})
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    every: dict[str, Any] = {"milliseconds": {}, "codecs": {}}
    for root in args.roots:
        root = root.expanduser().absolute()
        videos = list_videos(root) if root.is_dir() else []
        if not videos:
            raise ValueError(f"{root} holds no videos: give a folder of videos")
        chosen = videos[:: -(-len(videos) // args.limit)]
        with tempfile.TemporaryDirectory() as folder:
            copies = copies_of(chosen, Path(folder), args.short_side, args.quality) if args.copies else {}
            found = measure(chosen, args.rounds, args.short_side, copies=copies)
        rows = {name: summary(times) for name, times in found["milliseconds"].items() if times}
        if "vmae_zoo" not in rows:
            raise ValueError(f"no video of {root} can be read: {found['failed'][0]}")
        print(f"{root}: {len(chosen)} of {len(videos)} videos, 16 frames stride 4, short side {args.short_side}")
        _print(rows, found)
        sentence = advice(rows["vmae_zoo"]["clips_per_second"], args.workers, args.model, args.device, args.repeats)
        print(sentence if find_index(root) else f"{sentence}; with `vmae-zoo index` workers do not read packets first")
        results[str(root)] = {"readers": rows, "advice": sentence, **found}
        every["codecs"].update(found["codecs"])
        for name, times in found["milliseconds"].items():
            every["milliseconds"].setdefault(name, {}).update(times)
    results["gains"] = {codec: gains(every, codec) for codec in sorted(set(every["codecs"].values()))}
    for codec, codec_gains in results["gains"].items():
        if args.copies:
            print(advice_on_copies(codec, codec_gains))
    return results


def _print(rows: dict[str, dict[str, float]], found: dict[str, Any]) -> None:
    print(f"  {'reader':<18} {'clips/s/core':>12} {'median ms':>10}  quartiles    videos")
    for name, row in rows.items():
        quartiles = f"{row['low_ms']:.1f}-{row['high_ms']:.1f}"
        read = len(found["milliseconds"][name])
        print(f"  {name:<18} {row['clips_per_second']:>12.1f} {row['median_ms']:>10.1f}  {quartiles:<12} {read}")
    if found["failed"]:
        print(f"  failed: {len(found['failed'])}, for example {found['failed'][0]}")
