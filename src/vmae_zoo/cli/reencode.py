"""``vmae-zoo reencode``: a copy of a data set that decodes fast."""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.cli.shard_option import add_shard, part_of
from vmae_zoo.setting_checks import check_least

SAMPLE = 4  # videos measured before the others are copied
WORTH = 1.2  # times as fast


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", type=Path, metavar="SRC", help="folder of the data set")
    parser.add_argument("target", type=Path, metavar="DST", help="folder of the copy, outside SRC; may be half done")
    parser.add_argument("--short-side", type=int, default=256, metavar="N", help="pixels; never enlarged (default 256)")
    parser.add_argument("--crf", type=int, default=22, metavar="N", help="x264's quality, 0 (best) to 51 (default 22)")
    add_shard(parser)
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--force", action="store_true", help="copy even where reading would hardly be faster")
    add_json(parser, "what was found")
    parser.epilog = (
        "example: vmae-zoo reencode /data/k400 /data/k400-256\n"
        "exit code 1 where a video has no copy, or where a copy is not worth making"
    )


def run(args: argparse.Namespace) -> int:
    """Measure a sample, then copy what has no copy yet."""
    source, target = args.source.expanduser().absolute(), args.target.expanduser().absolute()
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder: give the folder of the data set")
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{target} lies in {source}: give a folder outside it")
    check_least("--", 1, workers=args.workers, **{"short-side": args.short_side})
    if not 0 <= args.crf <= 51:
        raise ValueError(f"--crf = {args.crf}: must be from 0 to 51")
    part, parts = part_of(args.shard)
    from tqdm import tqdm

    from vmae_zoo.datasets.reencode import copy_others, pending_videos, reencode, reencode_file, speedup

    todo, done = pending_videos(source, target, part, parts)
    gains = []
    with tempfile.TemporaryDirectory() as folder:
        for number, video in enumerate(todo[:: max(len(todo) // SAMPLE, 1)][:SAMPLE]):
            copy = Path(folder) / f"{number}.mp4"
            if not reencode_file(video, copy, args.short_side, args.crf):
                gains.append(speedup(video, copy, args.short_side))
    result: dict[str, Any] = {
        "done": done,
        "copied": 0,
        "failed": {},
        "times_as_fast": [round(value, 2) for value in gains],
    }
    faster = statistics.median(gains) if gains else None
    if faster is not None:
        print(
            f"copies of {len(gains)} videos are read {faster:.1f} times as fast ({min(gains):.1f} to {max(gains):.1f})"
        )
    advised_against = faster is not None and faster < WORTH and not args.force
    if advised_against:
        print(f"not worth it: leave {source} as it is (--force copies it anyway)")
    else:
        if part == 0:
            copy_others(source, target)
        jobs = reencode(source, target, todo, args.short_side, args.crf, args.workers or os.cpu_count() or 1)
        for video, reason in tqdm(jobs, "reencode", len(todo), unit="video", disable=None, file=sys.stderr):
            result["copied"] += not reason
            if reason:
                result["failed"][str(video)] = reason
        print(f"{target}: {result['copied']} copied, {done} already there, {len(result['failed'])} without a copy")
        for reason in list(result["failed"].values())[:20]:
            print(f"no copy: {reason}")
    write_json(args.json, result)
    return int(advised_against or bool(result["failed"]))
