"""``vmae-zoo bench data``: clips a second that one core decodes from some videos, and how many a GPU wants.

Every reader gives 16 frames of a video from the same random start, resized to the same short side, as uint8 RGB. Each
round times every reader once on every video, in turn, in processor time of this process with one thread, so that a busy
machine slows all alike. The first clip of a video, which finds out where its frames lie, is not timed. Readers that a
machine lacks are left out. With ``--copies`` the same videos are also read from copies as `vmae-zoo reencode` and
`vmae-zoo cache` make them.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vmae_zoo.bench.readers import ours, readers
from vmae_zoo.data.sampling import dense_ids, dense_start
from vmae_zoo.datasets.index import find_index
from vmae_zoo.datasets.jpeg_shards.writer import make_shard
from vmae_zoo.datasets.layouts.base import list_videos
from vmae_zoo.datasets.reencode import reencode_file
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key
from vmae_zoo.training.flops import PEAK_TFLOPS
from vmae_zoo.video.decode import VideoError, VideoInfo, probe, read_clip
from vmae_zoo.video.jpeg_shards import Place

NEEDED = {  # clips a second of VideoMAE pre-training on one H100 at 25 % of its bf16 peak, from the FLOPs of a step
    "small": 3670,
    "base": 1183,
    "large": 291,
    "huge": 174,
}
WORTH = 1.2  # times as fast, from which a copy is advised

Times = dict[str, dict[str, list[float]]]  # milliseconds: reader -> video -> clips


def copies_of(paths: Sequence[Path], folder: Path, short_side: int, quality: int) -> dict[str, dict[Path, Path]]:
    """Copies of videos, by kind: those that could be made, as `read_clip` takes them."""
    copies: dict[str, dict[Path, Path]] = {"re-encoded": {}, "cached": {}}
    for number, path in enumerate(paths):
        print(f"\rcopy {number + 1} of {len(paths)}", end="", file=sys.stderr, flush=True)
        copy = folder / f"{number}.mp4"
        if not reencode_file(path, copy, short_side):
            copies["re-encoded"][path] = copy
    make_shard(
        0, [(str(path), path) for path in paths], {str(path): [] for path in paths}, folder, short_side, quality, ""
    )
    places = json.loads((folder / "shard-000000.json").read_text())["videos"]
    copies["cached"] = {Path(name): Place(folder / "shard-000000.tar", *place).path for name, place in places.items()}
    return copies


def measure(
    paths: Sequence[Path],
    rounds: int,
    short_side: int,
    stride_frames: int = 4,
    copies: Mapping[str, Mapping[Path, Path]] | None = None,
) -> dict[str, Any]:
    """Milliseconds of processor time per clip of every reader and copy, by video, and each video's codec.

    Videos that cannot be read are named under "failed".
    """
    copies = copies or {}
    milliseconds: Times = {name: {} for name in [*readers(), *copies]}
    failed: list[str] = []
    codecs: dict[str, str] = {}
    for number, path in enumerate(paths):
        print(f"\rvideo {number + 1} of {len(paths)}", end="", file=sys.stderr, flush=True)
        try:
            info = probe(path)
            read_clip(path, [0], short_side)
            for of in copies.values():
                if path in of:
                    read_clip(of[path], [0], short_side)
        except VideoError as error:
            failed.append(str(error))
            continue
        video = "/".join(path.parts[-2:])
        codecs[video] = info.codec
        for turn in range(rounds):
            draws = KeyedRNG(sample_key(0, turn, hash_text(path.name)), "start")
            ids = dense_ids(info.frames, 16, stride_frames, dense_start(info.frames, 16, stride_frames, draws))
            there = [(name, read, path) for name, read in readers().items()]
            there += [(name, ours, of[path]) for name, of in copies.items() if path in of]
            for name, read, file in there:
                start = time.process_time()
                try:
                    read(file, ids, _size(info, short_side))
                except Exception as error:  # another reader's failure is a result
                    failed.append(f"{name}: {path.name}: {error}")
                    continue
                spent = 1000 * (time.process_time() - start)
                milliseconds[name].setdefault(video, []).append(spent)
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return {"milliseconds": milliseconds, "codecs": codecs, "failed": failed}


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


def gains(found: dict[str, Any], codec: str) -> dict[str, dict[str, float]]:
    """How many times as many clips a second as the videos of a codec as found each other way gives.

    "mean" is of the rates over those videos; "low" and "high" are of single ones.
    """
    times = found["milliseconds"]
    medians = {
        name: {video: statistics.median(spent) for video, spent in of.items() if found["codecs"][video] == codec}
        for name, of in times.items()
    }
    told = {}
    for name, of in medians.items():
        if name != "vmae_zoo" and of:
            base = {video: medians["vmae_zoo"][video] for video in of}
            each = [base[video] / of[video] for video in of]
            mean = sum(base.values()) / sum(of.values())
            numbers = {"videos": len(of), "mean": mean, "low": min(each), "high": max(each)}
            told[name] = {name: round(value, 2) for name, value in numbers.items()}
    return told


def advice(per_core: float, cores: int, model: str, device: str, repeats: int) -> str:
    """What to do about it, in a sentence."""
    needed = NEEDED[model] * PEAK_TFLOPS[device] / PEAK_TFLOPS["H100"]
    share = per_core * cores * repeats / needed
    said = f"{cores} workers x {per_core:.1f} clips/s x {repeats} repeats feed {100 * share:.0f} % of a {device} "
    said += f"that pre-trains {model} ({needed:.0f} clips/s at 25 % of its peak)"
    if share >= 1:
        return f"{said}: decoding is not the bottleneck"
    return f"{said}: {needed / per_core / repeats:.0f} cores would do; repeats, `reencode` or `cache` help"


def advice_on_copies(codec: str, told: dict[str, dict[str, float]]) -> str:
    """Which copy of the videos of a codec is worth making, in a sentence."""
    words = []
    for name, verb in (("re-encoded", "re-encode them"), ("cached", "cache them")):
        if name in told:
            mean, low, high = (told[name][number] for number in ("mean", "low", "high"))
            said = verb if mean >= WORTH else f"do not {verb}"
            words.append(f"{said} ({mean:.1f} times as fast, {low:.1f} to {high:.1f})")
    return f"{codec}: {'; '.join(words) or 'none could be copied'}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("roots", nargs="+", type=Path, metavar="DIR", help="videos; several folders are compared")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="clips of each video (default 5)")
    parser.add_argument("--limit", type=int, default=40, metavar="N", help="videos of each folder (default 40)")
    parser.add_argument("--short-side", type=int, default=256, metavar="N", help="pixels (default 256)")
    parser.add_argument("--copies", action="store_true", help="also read copies as `reencode` and `cache` make them")
    parser.add_argument("--quality", type=int, default=90, metavar="Q", help="of the cache's JPEGs (default 90)")
    parser.add_argument("--model", choices=NEEDED, default="base", help="to be fed (default base)")
    parser.add_argument(
        "--device", choices=PEAK_TFLOPS, default="H100", metavar="GPU", help="that trains it (default H100)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), metavar="N", help="default: one per core")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="clips of a decoded video (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every number to this file")
    parser.epilog = "example: vmae-zoo bench data /data/hmdb51 --copies --model base --device H100 --workers 16"


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
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
            raise ValueError(f"{root} holds no videos: give a folder of them")
        chosen = videos[:: -(-len(videos) // args.limit)]
        with tempfile.TemporaryDirectory() as folder:
            copies = copies_of(chosen, Path(folder), args.short_side, args.quality) if args.copies else {}
            found = measure(chosen, args.rounds, args.short_side, copies=copies)
        rows = {name: summary(times) for name, times in found["milliseconds"].items() if times}
        if "vmae_zoo" not in rows:
            raise ValueError(f"no video of {root} can be read: {found['failed'][0]}")
        print(f"{root}: {len(chosen)} of {len(videos)} videos, 16 frames stride 4, short side {args.short_side}")
        _print(rows, found)
        said = advice(rows["vmae_zoo"]["clips_per_second"], args.workers, args.model, args.device, args.repeats)
        print(said if find_index(root) else f"{said}; `vmae-zoo index` spares each worker the first look at a file")
        results[root.name] = {"readers": rows, "advice": said, **found}
        every["codecs"].update(found["codecs"])
        for name, times in found["milliseconds"].items():
            every["milliseconds"].setdefault(name, {}).update(times)
    results["gains"] = {codec: gains(every, codec) for codec in sorted(set(every["codecs"].values()))}
    for codec, told in results["gains"].items():
        if args.copies:
            print(advice_on_copies(codec, told))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _print(rows: dict[str, dict[str, float]], found: dict[str, Any]) -> None:
    print(f"  {'reader':<18} {'clips/s/core':>12} {'median ms':>10}  quartiles    videos")
    for name, row in rows.items():
        quartiles = f"{row['low_ms']:.1f}-{row['high_ms']:.1f}"
        read = len(found["milliseconds"][name])
        print(f"  {name:<18} {row['clips_per_second']:>12.1f} {row['median_ms']:>10.1f}  {quartiles:<12} {read}")
    if found["failed"]:
        print(f"  not read: {len(found['failed'])}, for example {found['failed'][0]}")
