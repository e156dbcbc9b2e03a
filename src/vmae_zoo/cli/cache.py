"""``vmae-zoo cache``: a data set as JPEG frames in tar shards."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.cli.shard_option import add_shard, part_of
from vmae_zoo.setting_checks import check_least


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", type=Path, metavar="ROOT", help="the data set, as --data.root takes it")
    parser.add_argument("target", metavar="OUT", help="folder of the cache, or a URL such as s3://bucket/name")
    parser.add_argument("--layout", metavar="NAME", help="how ROOT is laid out (default: detect it)")
    parser.add_argument("--short-side", type=int, default=256, metavar="N", help="pixels; never enlarged (default 256)")
    parser.add_argument("--quality", type=int, default=90, metavar="Q", help="of the JPEGs, 1 to 100 (default 90)")
    parser.add_argument("--per-shard", type=int, metavar="N", help="videos of a shard (default: up to 64)")
    add_shard(parser)
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    add_json(parser, "what was done")
    parser.epilog = (
        "example: vmae-zoo cache /data/k400 /data/k400-jpeg\n"
        'a SLURM array of 64: vmae-zoo cache /data/k400 s3://bucket/k400 --shard "$SLURM_ARRAY_TASK_ID/64"\n'
        "exit code 1 where a video could not be cached"
    )


def run(args: argparse.Namespace) -> int:
    """Make the shards that are missing; join them when none is."""
    from vmae_zoo.video.storage import as_path, is_remote

    part, parts = part_of(args.shard)
    check_least("--", 1, workers=args.workers, **{"short-side": args.short_side, "per-shard": args.per_shard})
    if not 1 <= args.quality <= 100:
        raise ValueError(f"--quality = {args.quality}: must be from 1 to 100")
    source, target = args.source.expanduser().absolute(), as_path(args.target)
    if not source.exists():
        raise ValueError(f"{source} does not exist: give the folder of the data set, or its list file")
    if not is_remote(target) and source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{target} lies in {source}: give a folder outside it")
    from tqdm import tqdm

    from vmae_zoo.datasets.jpeg_shards.shard_plan import plan_shards, shards_done
    from vmae_zoo.datasets.jpeg_shards.writer import make_shards, remove_stale, write_manifest

    made_of = plan_shards(source, args.layout, args.short_side, args.quality, args.per_shard)
    remove_stale(target)
    done = shards_done(made_of, target)
    todo = [shard for shard in range(part, made_of.shards, parts) if shard not in done]
    left_out: dict[str, str] = {}
    made = sum(len(made_of.videos_of(shard)) for shard in todo)
    with tqdm(total=made, desc="cache", unit="video", disable=None, file=sys.stderr) as bar:
        for shard, failed in make_shards(made_of, target, todo, args.workers or os.cpu_count() or 1):
            left_out.update(failed)
            bar.update(len(made_of.videos_of(shard)))
    missing = made_of.shards - len(shards_done(made_of, target))
    result: dict[str, Any] = {"shards": made_of.shards, "made": len(todo), "missing": missing}
    if missing:
        print(f"{target}: {len(todo)} shards made, {missing} of {made_of.shards} are missing: run the other parts")
    else:
        left_out = write_manifest(made_of, target)
        videos = len(made_of.videos) - len(left_out)
        print(f"{target}: {videos} videos in {made_of.shards} shards, of which {len(todo)} were made now")
        print(f"train from it by --data.root {args.target}")
    for reason in list(left_out.values())[:20]:
        print(f"left out: {reason}")
    write_json(args.json, {**result, "left_out": left_out})
    return int(bool(left_out))
