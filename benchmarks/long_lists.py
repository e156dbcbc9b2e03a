"""``python -m benchmarks.long_lists``: a training on a list of many clips, from its start and from inside an epoch.

The clips of the embedded set are linked under as many names as the list has lines, in 400 folders. Four trainings of
two steps run one after the other: on a short and on the long list, each from the start, then resumed from its
checkpoint, which is moved to 60 % of the epoch. Each is measured as a whole process: seconds and CPU seconds, peak
resident memory of the main process, and the memory that a data worker does not share with it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import main
from vmae_zoo.datasets.scan import list_videos
from vmae_zoo.datasets.synthetic.embedded import embedded_root

CLASSES = 400
RECIPE = "recipes/videomae.yaml"
PRIVATE = ("Private_Clean:", "Private_Dirty:")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--clips", type=int, default=1_000_000, metavar="N", help="lines of the list (default: 10^6)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="data workers (default: 2)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the links; kept, and used again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    parser.epilog = "example: python -m benchmarks.long_lists --clips 1000000"


def run(args: argparse.Namespace) -> int:
    """Measure and print; Linux only."""
    if not sys.platform.startswith("linux"):
        raise ValueError("memory is read from /proc, which only Linux has")
    if args.clips < 2000:
        raise ValueError(f"--clips {args.clips}: must be >= 2000, the short list has 1000")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for clips in (1000, args.clips):
            folder = (args.out or Path(temporary)) / str(clips)
            file = write_list(folder, clips)
            runs = Path(temporary) / f"runs-{clips}"
            rows.append({"clips": clips, "start": "new", **measure(file, runs, args.workers)})
            checkpoint = move_to(next(runs.glob("runs/*/*/checkpoints/last.ckpt")), 0.6)
            rows.append({"clips": clips, "start": "60 %", **measure(file, runs, args.workers, checkpoint)})
    print(f"{'clips':>10} {'start':>6} {'seconds':>8} {'CPU s':>7} {'main MB':>8} {'MB of each worker alone':>24}")
    for row in rows:
        alone = ", ".join(f"{megabytes:.0f}" for megabytes in row["workers_mb"])
        print(
            f"{row['clips']:>10} {row['start']:>6} {row['seconds']:>8.1f} {row['cpu_seconds']:>7.1f} "
            f"{row['main_mb']:>8.0f} {alone:>24}"
        )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def write_list(folder: Path, clips: int) -> Path:
    """A list of links to the embedded clips, whose folders are classes."""
    file = folder / "train.csv"
    if not file.exists():
        videos = list_videos(embedded_root())
        for label in range(CLASSES):
            (folder / f"class_{label:03d}").mkdir(parents=True, exist_ok=True)
        names = [f"class_{number % CLASSES:03d}/video_{number:08d}.mp4" for number in range(clips)]
        for number, name in enumerate(names):
            (folder / name).unlink(missing_ok=True)  # of an interrupted run
            os.symlink(videos[number % len(videos)], folder / name)
        file.write_text("".join(f"{name} {number % CLASSES}\n" for number, name in enumerate(names)))
    return file


def move_to(checkpoint: Path, share: float) -> Path:
    """Change the position of a checkpoint to a share of its epoch; returns the file."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    (position,) = (state for name, state in content.items() if name.endswith("ClipDataModule"))
    position["seen"] = int(share * position["rows"])
    torch.save(content, checkpoint)
    return checkpoint


def measure(file: Path, runs: Path, workers: int, checkpoint: Path | None = None) -> dict[str, Any]:
    """Train two steps, and measure the process.

    Returns:
        "seconds" and "cpu_seconds" of the process with its workers, "main_mb", peak resident memory of the main
        process, and "workers_mb", the largest private memory of each data worker.
    """
    settings = {"data.root": file, "data.workers": workers, "trainer.max_steps": 4 if checkpoint else 2}
    settings |= {"trainer.default_root_dir": runs, "trainer.max_epochs": -1}
    settings |= {"ckpt_path": checkpoint} if checkpoint else {}
    options = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "vmae_zoo", "fit", "-c", RECIPE, *options]
    before, begin = os.times(), time.monotonic()
    private: dict[int, int] = {}
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _bytes(process.pid, "status", ("VmHWM",)))
            for worker in _children(process.pid):
                private[worker] = max(private.get(worker, 0), _bytes(worker, "smaps_rollup", PRIVATE))
            time.sleep(0.2)
        seconds = time.monotonic() - begin
        if process.returncode:
            log.seek(0)
            raise ValueError(f"the training ended with {process.returncode}: {log.read().decode()[-1000:]}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "main_mb": round(peak / 1e6),
        "workers_mb": sorted((round(size / 1e6, 1) for size in private.values()), reverse=True)[:workers],
    }


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:  # it has ended
        return []


def _bytes(process: int, file: str, names: tuple[str, ...]) -> int:
    """The sum of some lines of a process's file in /proc; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(names))


if __name__ == "__main__":
    sys.exit(main("long_lists", __doc__, configure, run))
