"""``python -m benchmarks.memory``: memory growth of a data worker that reads many clips.

One worker process reads random clips of the given videos and of generated ones in many codecs. The videos are linked
under many names, so that the worker keeps meeting new files, as in a large data set.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from benchmarks.command_line import main
from benchmarks.sample_videos import write_samples
from vmae_zoo.data.clip_spec import ClipSpec
from vmae_zoo.data.dataset import ClipDataset, collate
from vmae_zoo.data.storage_retry import Item
from vmae_zoo.datasets.clip_record import ClipRecord
from vmae_zoo.datasets.scan import list_videos

LINKS = 3000  # names of the videos


class MemoryTrackedDataset(ClipDataset):
    """Adds to each clip the resident memory, in bytes, of the process that read it."""

    def __getitem__(self, ref: tuple[int, ...] | int) -> list[Item]:
        """The clips of a record in an epoch."""
        items = super().__getitem__(ref)
        items[0]["memory"] = np.int64(resident())
        return items


def resident() -> int:
    """Resident memory of this process in bytes; outside Linux its peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "roots", nargs="*", type=Path, metavar="DIR", help="folders of videos (default: only generated ones)"
    )
    parser.add_argument("--clips", type=int, default=10_000, metavar="N", help="clips to read (default: 10000)")
    parser.add_argument("--limit-mb", type=float, default=20.0, metavar="MB", help="allowed growth (default: 20)")
    parser.add_argument("--size", type=int, default=112, metavar="PIXELS", help="side of a clip (default: 112)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    parser.epilog = "example: python -m benchmarks.memory /data/hmdb51\nexit code 1 if the worker grew more"


def run(args: argparse.Namespace) -> int:
    """Measure and print; 1 if the growth is above the limit."""
    from tqdm import tqdm

    if args.clips < 20:
        raise ValueError(f"--clips {args.clips}: must be >= 20")
    with tempfile.TemporaryDirectory() as folder:
        videos = write_samples(Path(folder) / "samples")
        for root in args.roots:
            videos += list_videos(root.expanduser().absolute()) if root.is_dir() else _missing(root)
        bar = tqdm(desc="bench memory", total=args.clips, unit="clip", disable=None, file=sys.stderr)
        began = time.perf_counter()
        with bar:
            result = grow(videos, Path(folder) / "links", args.clips, args.size, bar.update)
        result["seconds"] = round(time.perf_counter() - began, 1)
    for clips, megabytes in result["resident_mb"].items():
        print(f"{clips:>8} clips  {megabytes:8.1f} MB")
    print(
        f"one worker, {len(videos)} videos under {result['names']} names, {result['unreadable']} clips unreadable: "
        f"{result['growth_mb']:.1f} MB growth after the first {result['warm_up']} clips, limit {args.limit_mb:g} MB"
    )
    if args.json:
        args.json.write_text(json.dumps({**result, "limit_mb": args.limit_mb}, indent=2) + "\n")
    return 0 if result["growth_mb"] <= args.limit_mb else 1


def grow(
    videos: list[Path], links: Path, clips: int, size: int = 112, update: Callable[[int], Any] | None = None
) -> dict[str, Any]:
    """Read clips with one worker.

    Args:
        videos: files to read.
        links: folder to create for the links.
        clips: number of clips to read.
        size: side of a clip in pixels.
        update: called with the number of clips read since the last call.

    Returns:
        "resident_mb" by clips read; "growth_mb", the maximum over the last tenth minus the value after the first tenth
        ("warm_up"); "names", the number of links; "unreadable", a number of clips.
    """
    links.mkdir(parents=True)
    records = []
    for number in range(min(LINKS, clips)):
        video = videos[number % len(videos)]
        link = links / f"{number}{video.suffix}"
        link.symlink_to(video)
        records.append(ClipRecord(link.name, str(link)))
    dataset = MemoryTrackedDataset(records, ClipSpec(size=size))
    refs = [[(number % len(records), number // len(records))] for number in range(clips)]
    loader: Iterable[dict[str, Any]] = DataLoader(dataset, batch_sampler=refs, num_workers=1, collate_fn=collate)
    memory, unreadable = [], 0
    for batch in islice(loader, clips):
        unreadable += len(batch.get("bad", ()))
        memory.append(int(batch["memory"][0]))
        if update:
            update(1)
    warm_up = clips // 10
    marks = [*range(warm_up, clips, warm_up), clips]
    return {
        "clips": clips,
        "warm_up": warm_up,
        "names": len(records),
        "unreadable": unreadable,
        "resident_mb": {mark: round(memory[mark - 1] / 1e6, 1) for mark in marks},
        "growth_mb": round((max(memory[-warm_up:]) - memory[warm_up - 1]) / 1e6, 2),
    }


def _missing(root: Path) -> list[Path]:
    raise ValueError(f"{root} is not a folder: give folders of videos")


if __name__ == "__main__":
    sys.exit(main("memory", __doc__, configure, run))
