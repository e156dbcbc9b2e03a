"""``python -m benchmarks.corruption``: what index and training make of damaged files.

Files are damaged in many ways, and each is compared with the video that it was: by a plain decode of all of it, by the
audit of `vmae-zoo index`, and by random clips as training reads them. Then a small run trains on all of them.
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
from pathlib import Path
from typing import Any

import lightning
import torch

from benchmarks.command_line import main
from benchmarks.corrupt_files import CorruptFile, Decoded, decode_all, fingerprint, spoil
from benchmarks.memory import resident
from benchmarks.sample_videos import write_specimens
from vmae_zoo.data.module import ClipDataModule
from vmae_zoo.data.sampling import dense_ids, dense_start
from vmae_zoo.datasets.audit import audit
from vmae_zoo.datasets.layouts.base import list_videos
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key
from vmae_zoo.video.decode import VideoError, probe, read_clip
from vmae_zoo.video.ffmpeg_log import capture_damage

DRAWS = 3  # random clips of each file
PATIENCE = 60  # seconds for one file before it counts as hanging
LIMIT_MB = 20  # growth of the process that reads them all


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("roots", nargs="*", type=Path, metavar="DIR", help="folders of videos to damage copies of")
    parser.add_argument("--files", type=int, default=300, metavar="N", help="damaged files (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every file's result to this file")
    parser.epilog = "example: python -m benchmarks.corruption /data/hmdb51\nexit code 1 if a promise is broken"


def run(args: argparse.Namespace) -> int:
    """Damage, look, train, and print what was found."""
    from tqdm import tqdm

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = write_specimens(folder / "whole")
        for root in args.roots:
            sources += list_videos(root.expanduser().absolute())
        bar = tqdm(desc="bench damage", total=args.files, unit="file", disable=None, file=sys.stderr)
        with bar:
            files, growth = examine(sources, folder / "bad", args.files, args.seed, bar.update)
        for source in sources:
            (folder / "bad" / f"000 whole {source.name}").symlink_to(source)
        report = train(folder / "bad")
    problems = judge(files, growth, report)
    print(table(files))
    print(f"a process that read them all grew by {growth:.1f} MB; the slowest file took {slowest(files)}")
    print(f"training went through {report['epochs']} epochs and named {len(report['named'])} files")
    for problem in problems:
        print(f"PROBLEM: {problem}")
    if args.json:
        summary = {"files": files, "growth_mb": growth, "training": report, "problems": problems}
        args.json.write_text(json.dumps(summary, indent=1) + "\n")
    return int(bool(problems))


def examine(
    sources: Sequence[Path], folder: Path, count: int, seed: int = 0, tell: Callable[[int], Any] | None = None
) -> tuple[list[dict[str, Any]], float]:
    """Damage files and look at each in another process.

    Returns:
        What was found of each, and by how many MB the process grew after its first tenth.
    """
    made = spoil(list(sources), folder, count, seed)
    found: list[dict[str, Any]] = []
    whole: dict[Path, Decoded] = {}
    pool = ProcessPoolExecutor(1)
    for spoiled in made:
        if spoiled.source not in whole:
            whole[spoiled.source] = decode_all(spoiled.source)
        about = {"file": spoiled.path.name, "way": spoiled.way, "source": spoiled.source.name}
        try:
            found.append({**about, **pool.submit(inspect_file, spoiled, whole[spoiled.source]).result(PATIENCE)})
        except NoAnswerError:
            for process in pool._processes.values():
                process.kill()
            pool = ProcessPoolExecutor(1)
            found.append({**about, "state": "hangs"})
        if tell:
            tell(1)
    pool.shutdown()
    memory = [record["memory"] for record in found if "memory" in record]
    return found, round((max(memory[-len(memory) // 10 :]) - memory[len(memory) // 10]) / 1e6, 1)


def inspect_file(spoiled: CorruptFile, whole: Decoded) -> dict[str, Any]:
    """What a plain decode, the audit and some random clips make of one file."""
    began = time.perf_counter()
    with capture_damage():  # keeps FFmpeg's messages off the terminal
        state = decode_all(spoiled.path).state(whole)
    finding = audit(spoiled.path)
    prints, clips = set(whole.prints), Counter[str]()
    for draw in range(DRAWS):
        rng = KeyedRNG(sample_key(0, draw, hash_text(spoiled.path.name)), "start")
        try:
            total = probe(spoiled.path).frames
            clip = read_clip(spoiled.path, dense_ids(total, 4, 3, dense_start(total, 4, 3, rng)))
        except (VideoError, IndexError, OSError):
            clips["unreadable"] += 1
            continue
        clips["intact" if all(fingerprint(frame) in prints for frame in clip) else "different"] += 1
    return {
        "state": state,
        "verdict": finding.verdict,
        "reasons": list(finding.reasons),
        "clips": dict(clips),
        "seconds": round(time.perf_counter() - began, 2),
        "memory": resident(),
    }


class _Nothing(lightning.LightningModule):
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
        "epochs"; "rows" that the data set lists; "named" in ``bad_samples.jsonl``.
    """
    data = ClipDataModule(
        str(folder), "flat", frames=4, stride_frames=3, size=32, batch_size=1, workers=workers, max_bad_share=1.0
    )
    said = logging.getLogger("lightning.pytorch")
    level = said.level
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    with tempfile.TemporaryDirectory() as place:
        trainer = lightning.Trainer(accelerator="cpu", max_epochs=epochs, default_root_dir=place, **quiet)  # type: ignore[arg-type]
        said.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings(action="ignore"):
                trainer.fit(_Nothing(), data)
        finally:
            said.setLevel(level)
        log = Path(place) / "bad_samples.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        named = {Path(json.loads(line)["path"]).name for line in lines}
    return {"epochs": trainer.current_epoch, "rows": [row.path.name for row in data.records], "named": sorted(named)}


def judge(files: Sequence[dict[str, Any]], growth: float, report: dict[str, Any]) -> list[str]:
    """Everything that should not be, a sentence each."""
    problems = []
    for file in files:
        name, state = file["file"], file["state"]
        if state == "hangs":
            problems.append(f"{name}: no answer within {PATIENCE} s")
            continue
        flagged = file["verdict"] in ("concealed", "damaged")
        if state == "equal" and flagged:
            problems.append(f"{name}: nothing is wrong with it, yet index says {'; '.join(file['reasons'])}")
        if state not in ("equal", "unseen") and not flagged:
            problems.append(f"{name} ({state}): index says {file['verdict']}")
        if state != "unseen" and not flagged and file["clips"].get("different"):
            problems.append(f"{name} ({state}): {file['clips']['different']} clips differ, yet index says good")
        if name in report["rows"]:
            if state == "unreadable" and name not in report["named"]:
                problems.append(f"{name} cannot be read, and training did not name it")
            if state == "equal" and name in report["named"]:
                problems.append(f"{name}: nothing is wrong with it, yet training named it")
    if growth > LIMIT_MB:
        problems.append(f"the process that read them all grew by {growth:.1f} MB")
    return problems


def table(files: Sequence[dict[str, Any]]) -> str:
    """By way of damage: files, what a plain decode finds, what index says, and what clips were."""
    lines = []
    for way in dict.fromkeys(file["way"] for file in files):
        group = [file for file in files if file["way"] == way]
        clips: Counter[str] = sum((Counter(file.get("clips", {})) for file in group), Counter())
        parts = (Counter(file["state"] for file in group), Counter(file.get("verdict", "-") for file in group), clips)
        columns = [", ".join(f"{count} {name}" for name, count in part.most_common()) for part in parts]
        lines.append(f"{way}: {len(group)} files")
        lines += [f"    {name:<7} {column}" for name, column in zip(("decode", "index", "clips"), columns, strict=True)]
    return "\n".join(lines)


def slowest(files: Sequence[dict[str, Any]]) -> str:
    """``1.2 s (name)``."""
    file = max(files, key=lambda file: file.get("seconds", PATIENCE))
    return f"{file.get('seconds', PATIENCE)} s ({file['file']} of {file['source']})"


if __name__ == "__main__":
    sys.exit(main("corruption", __doc__, configure, run))
