"""``python -m benchmarks.guidance``: how well motion-guided masks follow a person, and what they cost.

* follow: see `benchmarks.mask_tracking`.
* cost: processor time of motion guidance in data workers, relative to decoding the same clips.
* raft: RAFT on all pairs of a clip in one pass, and in one call of torchvision's network per pair.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.command_line import main
from benchmarks.mask_tracking import GUIDE, STRIDE, backgrounds, follow, quick_copy, readable, show_progress
from benchmarks.silhouettes import SIZE
from vmae_zoo.data.sampling import dense_ids, dense_start
from vmae_zoo.data.transforms import crop_and_resize, multi_scale_box
from vmae_zoo.flow.raft import RaftFlow
from vmae_zoo.randomness import KeyedRNG, sample_key
from vmae_zoo.video.decode import probe, read_clip

TARGET = 1500  # clips per second
PARTS = ("decode", "dis", "dis_flow")


def cost(clips: Path, repeats: int) -> dict[str, Any]:
    """Processor milliseconds per clip for decoding and guidance, by file, as found and re-encoded."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(clips.rglob("*")):
            info = readable(path)
            if info is None or info.frames < 61 or min(info.height, info.width) < 144:
                continue
            show_progress(path.name)
            copied = Path(shutil.copy(path, folder))
            quick = quick_copy(copied, min(info.frames, 300))
            rows.append({"file": path.name, "as found": timed(path, repeats), "re-encoded": timed(quick, repeats)})
    return {"files": rows, "totals": {kind: total([row[kind] for row in rows]) for kind in ("as found", "re-encoded")}}


def total(files: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Cost of guidance over all files, relative to decoding."""
    columns = {part: [file[part]["median"] for file in files] for part in PARTS}
    decoding = sum(columns["decode"])
    ratios = [dis / decode for dis, decode in zip(columns["dis"], columns["decode"], strict=True)]
    return {
        **{f"{part}_ms": spread(values) for part, values in columns.items()},
        "dis": {
            "share_of_decode": spread(ratios),
            "share_of_all_decode": round(sum(columns["dis"]) / decoding, 4),
            f"cores_at_{TARGET}_clips_a_second": round(TARGET * statistics.mean(columns["dis"]) / 1000, 2),
        },
    }


def timed(path: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Processor milliseconds of this thread per clip of a file.

    Returns:
        "decode": reading the frames; "dis": guidance by DIS, flow and maps; "dis_flow": the flow alone.
    """
    total = probe(path).frames
    times: dict[str, list[float]] = {part: [] for part in PARTS}
    for repeat in range(repeats):
        key = sample_key(0, 0, repeat)
        ids = dense_ids(total, 16, 4, dense_start(total, 16, 4, KeyedRNG(key, "start")))
        times["decode"].append(milliseconds(partial(read_clip, path, ids, 256)))
        frames = read_clip(path, ids, 256)
        box = multi_scale_box(frames.shape[1:3], SIZE, KeyedRNG(key, "crop"), (1, 0.875, 0.75, 0.66))
        clip = crop_and_resize(frames, box, SIZE)
        times["dis"].append(milliseconds(partial(GUIDE, clip, key)))
        pairs = GUIDE.pairs(torch.tensor([key]))[0].numpy()
        times["dis_flow"].append(milliseconds(partial(GUIDE.estimate, clip, pairs)))
    return {part: spread(values) for part, values in times.items()}


def milliseconds(work: Callable[[], object]) -> float:
    """Processor time of this thread."""
    start = time.thread_time()
    work()
    return 1000 * (time.thread_time() - start)


def raft_calls(clips: Path, repeats: int, batch: int) -> dict[str, Any]:
    """Seconds for the flow of all 15 pairs of ``batch`` clips, alternating between one pass and 15 calls."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    video = torch.from_numpy(np.stack([backgrounds(clips, max(batch, 2))[n][::STRIDE] for n in range(batch)]))
    video, keys = video.permute(0, 4, 1, 2, 3).to(device), torch.zeros(batch, dtype=torch.int64, device=device)
    pairs, raft = GUIDE.pairs(keys), RaftFlow("random")

    def one_pass() -> torch.Tensor:
        return raft(video, pairs)

    @torch.no_grad()
    def call_per_pair() -> torch.Tensor:
        images = video / 127.5 - 1
        flows = [raft.net(images[:, :, a], images[:, :, b], num_flow_updates=6)[-1] for a, b in pairs[0].tolist()]
        return torch.stack(flows, 1).permute(0, 1, 3, 4, 2)

    difference = (one_pass() - call_per_pair()).abs().max().item()
    times: dict[str, list[float]] = {"one_pass": [], "call_per_pair": []}
    for _ in range(repeats):
        for name, compute in (("one_pass", one_pass), ("call_per_pair", call_per_pair)):
            start = time.perf_counter()
            compute().sum().item()  # synchronizes
            times[name].append(time.perf_counter() - start)
    ratio = statistics.median(times["call_per_pair"]) / statistics.median(times["one_pass"])
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "clips": batch,
        **{f"{name}_seconds": spread(values) for name, values in times.items()},
        "speed_up": round(ratio, 3),
        "largest_difference_pixels": round(difference, 6),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum."""
    named = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 4) for name, value in named.items()}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "what", nargs="*", choices=["follow", "cost", "raft", []], help="what to measure (default: all)"
    )
    parser.add_argument("--clips", required=True, type=Path, metavar="DIR", help="real videos")
    parser.add_argument("--silhouettes", type=Path, metavar="FILE", help="Weizmann silhouettes as .npz, for follow")
    parser.add_argument("--limit", type=int, metavar="N", help="number of scenes (default: all)")
    parser.add_argument(
        "--raft-weights", default="random", help="weights of RAFT-small: a file, a name, or random (default)"
    )
    parser.add_argument(
        "--raft-limit", type=int, default=20, metavar="N", help="number of scenes for RAFT (default 20)"
    )
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="clips per file, calls of RAFT (default 5)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="batch size of RAFT (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    parser.epilog = "example: python -m benchmarks.guidance cost --clips videos --json guidance.json"


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    wanted = args.what or ["follow", "cost", "raft"]
    if "follow" in wanted and args.silhouettes is None:
        raise ValueError("follow needs --silhouettes FILE, the .npz of the Weizmann silhouettes")
    results: dict[str, Any] = {"machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}}
    if "follow" in wanted:
        results["follow"] = follow(args.silhouettes, args.clips, args.limit, args.raft_weights, args.raft_limit)
    if "cost" in wanted:
        results["cost"] = cost(args.clips, args.repeats)
    if "raft" in wanted:
        results["raft"] = raft_calls(args.clips, args.repeats, args.batch)
    print(json.dumps(results, indent=2))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main("guidance", __doc__, configure, run))
