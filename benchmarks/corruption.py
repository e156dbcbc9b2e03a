"""``python -m benchmarks.corruption``: what the index and training make of damaged videos.

Copies of videos are damaged in many ways. Each is compared with the original by a plain decode of all frames, by the
audit of `vmae-zoo index` and by random clips. Then a small run trains on all of them. Exit code 1 if the index misses
damage, calls an intact file damaged, or a process hangs, crashes or grows.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as NoAnswerError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import lightning
import torch

from benchmarks.command_line import main
from benchmarks.corrupt_files import CorruptFile, Decoded, corrupt, decode_all, fingerprint
from benchmarks.memory import resident
from benchmarks.sample_videos import write_samples
from vmae_zoo.data.module import ClipDataModule
from vmae_zoo.data.sampling import dense_ids, dense_start
from vmae_zoo.datasets.audit import audit
from vmae_zoo.datasets.scan import list_videos
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key
from vmae_zoo.video.decode import VideoError, probe, read_clip
from vmae_zoo.video.ffmpeg_log import capture_damage

CLIPS = 3  # random clips of each file
TIMEOUT_SECONDS = 60  # for one file
LIMIT_MB = 20  # growth of the process that reads all files


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("roots", nargs="*", type=Path, metavar="DIR", help="folders of videos to damage copies of")
    parser.add_argument("--files", type=int, default=300, metavar="N", help="damaged files (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result of every file to this file")
    parser.epilog = "example: python -m benchmarks.corruption /data/hmdb51 --files 300"


def run(args: argparse.Namespace) -> int:
    """Damage, inspect, train, and print what was found."""
    from tqdm import tqdm

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = write_samples(folder / "intact")
        for root in args.roots:
            sources += list_videos(root.expanduser().absolute())
        bar = tqdm(desc="corruption", total=args.files, unit="file", disable=None, file=sys.stderr)
        with bar:
            files, growth = examine(sources, folder / "damaged", args.files, args.seed, bar.update)
        for source in sources:
            (folder / "damaged" / f"000 intact {source.name}").symlink_to(source)
        report = train(folder / "damaged")
    problems = find_problems(files, growth, report)
    print(table(files))
    print(f"a process that read all of them grew by {growth:.1f} MB; the slowest file took {slowest(files)}")
    print(f"training finished {report['epochs']} epochs and listed {len(report['listed'])} unreadable files")
    for problem in problems:
        print(f"PROBLEM: {problem}")
    if args.json:
        summary = {"files": files, "growth_mb": growth, "training": report, "problems": problems}
        args.json.write_text(json.dumps(summary, indent=1) + "\n")
    return int(bool(problems))


def examine(
    sources: Sequence[Path], folder: Path, count: int, seed: int = 0, update: Callable[[int], Any] | None = None
) -> tuple[list[dict[str, Any]], float]:
    """Damage files and inspect each in another process.

    Returns:
        A record per file, and the growth of the process in MB after the first tenth of the files.
    """
    found: list[dict[str, Any]] = []
    originals: dict[Path, Decoded] = {}
    pool = ProcessPoolExecutor(1)
    for file in corrupt(list(sources), folder, count, seed):
        if file.source not in originals:
            originals[file.source] = decode_all(file.source)
        record = {"file": file.path.name, "way": file.way, "source": file.source.name}
        try:
            record |= pool.submit(inspect_file, file, originals[file.source]).result(TIMEOUT_SECONDS)
        except (NoAnswerError, BrokenProcessPool) as error:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool = ProcessPoolExecutor(1)
            record["state"] = "hangs" if isinstance(error, NoAnswerError) else "crashes"
        found.append(record)
        if update:
            update(1)
    pool.shutdown()
    memory = [record["memory"] for record in found if "memory" in record]
    return found, round((max(memory[-len(memory) // 10 :]) - memory[len(memory) // 10]) / 1e6, 1)


def inspect_file(file: CorruptFile, original: Decoded) -> dict[str, Any]:
    """Results of a plain decode, the audit, and random clips of one file."""
    start = time.perf_counter()
    with capture_damage():  # keeps FFmpeg's messages off the terminal
        state = decode_all(file.path).state(original)
    result = audit(file.path)
    prints, clips = set(original.prints), Counter[str]()
    for number in range(CLIPS):
        rng = KeyedRNG(sample_key(0, number, hash_text(file.path.name)), "start")
        try:
            total = probe(file.path).frames
            clip = read_clip(file.path, dense_ids(total, 4, 3, dense_start(total, 4, 3, rng)))
        except (VideoError, IndexError, OSError):
            clips["unreadable"] += 1
            continue
        clips["intact" if all(fingerprint(frame) in prints for frame in clip) else "different"] += 1
    return {
        "state": state,
        "verdict": result.verdict,
        "reasons": list(result.reasons),
        "clips": dict(clips),
        "seconds": round(time.perf_counter() - start, 2),
        "memory": resident(),
    }


class _OneWeight(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self.layer(batch["video"].float().mean().view(1)).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-9)


def train(folder: Path, epochs: int = 2, workers: int = 2) -> dict[str, Any]:
    """Train on all files of a folder.

    Returns:
        "epochs"; "records", files of the data set; "listed", files in ``bad_samples.jsonl``.
    """
    data = ClipDataModule(
        str(folder), "flat", frames=4, stride_frames=3, size=32, batch_size=1, workers=workers, max_bad_share=1.0
    )
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    with tempfile.TemporaryDirectory() as run_folder:
        trainer = lightning.Trainer(accelerator="cpu", max_epochs=epochs, default_root_dir=run_folder, **quiet)  # type: ignore[arg-type]
        logger.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings(action="ignore"):
                trainer.fit(_OneWeight(), data)
        finally:
            logger.setLevel(level)
        log = Path(run_folder) / "bad_samples.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        listed = {Path(json.loads(line)["path"]).name for line in lines}
    records = [record.path.name for record in data.records]
    return {"epochs": trainer.current_epoch, "records": records, "listed": sorted(listed)}


def find_problems(files: Sequence[dict[str, Any]], growth: float, report: dict[str, Any]) -> list[str]:
    """Everything that should not happen, a sentence each."""
    problems = []
    for file in files:
        name, state = file["file"], file["state"]
        if state in ("hangs", "crashes"):
            problems.append(f"{name}: the process that inspects it {state}")
            continue
        flagged = file["verdict"] in ("concealed", "damaged")
        if state == "intact" and flagged:
            problems.append(f"{name} is intact, but the index reports {'; '.join(file['reasons'])}")
        if state not in ("intact", "undetectable") and not flagged:
            problems.append(f"{name} is {state}, but the index reports {file['verdict']}")
        if state != "undetectable" and not flagged and file["clips"].get("different"):
            problems.append(
                f"{name}: {file['clips']['different']} clips differ, but the index reports {file['verdict']}"
            )
        if name in report["records"] and state == "unreadable" and name not in report["listed"]:
            problems.append(f"{name} is unreadable, but training did not list it")
        if name in report["records"] and state == "intact" and name in report["listed"]:
            problems.append(f"{name} is intact, but training listed it")
    if growth > LIMIT_MB:
        problems.append(f"the process that read all files grew by {growth:.1f} MB, more than {LIMIT_MB} MB")
    return problems


def table(files: Sequence[dict[str, Any]]) -> str:
    """By way of damage: number of files, and counts of decode states, index verdicts and clips."""
    lines = []
    for way in dict.fromkeys(file["way"] for file in files):
        group = [file for file in files if file["way"] == way]
        clips: Counter[str] = sum((Counter(file.get("clips", {})) for file in group), Counter())
        counts = (Counter(file["state"] for file in group), Counter(file.get("verdict", "-") for file in group), clips)
        columns = [", ".join(f"{count} {name}" for name, count in each.most_common()) for each in counts]
        lines.append(f"{way}: {len(group)} files")
        lines += [f"    {name:<7} {column}" for name, column in zip(("decode", "index", "clips"), columns, strict=True)]
    return "\n".join(lines)


def slowest(files: Sequence[dict[str, Any]]) -> str:
    """``1.2 s (name)``."""
    file = max(files, key=lambda file: file.get("seconds", TIMEOUT_SECONDS))
    return f"{file.get('seconds', TIMEOUT_SECONDS)} s ({file['file']} of {file['source']})"


if __name__ == "__main__":
    sys.exit(main("corruption", __doc__, configure, run))
