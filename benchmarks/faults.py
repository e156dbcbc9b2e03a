"""``python -m benchmarks.faults``: does a run survive what happens to runs?

Small real runs on the embedded clips are killed, told to end, fed with damage and put on a full disk; each has to end
with the weights, moments and place in the data of the run that nothing happened to, bit for bit.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.command_line import main
from benchmarks.fault_harness import STEPS, FaultError, FaultHarness
from benchmarks.fault_injection import NotPossibleError, copied_clips, damage, fill, small_disk
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key


def kill(lab: FaultHarness, count: int, seed: int) -> str:
    """Kill -9 at random moments, resumed each time, as many runs as it takes."""
    lab.whole()
    killed = in_saves = early = runs = 0
    start = 5.0  # seconds to the first save
    while killed < count:
        name, before = f"killed-{runs}", 0
        while killed < count:
            draws = KeyedRNG(sample_key(seed, 0, hash_text("kill"), killed), "moment")
            attempt, last = lab.start(name), lab.written(name)
            if killed % 4 == 3:
                early += 1
                time.sleep(draws.uniform(0, start))
            else:
                attempt.until_ended_or(partial(lab.newer, name, last), "a save")
                start = time.monotonic() - attempt.started
                time.sleep(draws.uniform(0, 8 * lab.seconds / lab.steps))
            if attempt.killed() == 0:  # it came to its end before
                break
            killed += 1
            in_saves += any((lab.work / name).glob("runs/*/*/checkpoints/*.partial"))
            step = lab.step(name)
            if step < before:
                raise FaultError(f"{name} went back from step {before} to {step}")
            before = step
            _tell(f"kill {killed} of {count}: checkpoint of step {step}")
        lab.start(name).end(0)
        lab.same(name)
        runs += 1
    return f"{killed} kills ({in_saves} in a save, {early} before the first one) of {runs} runs"


def told(lab: FaultHarness, count: int, seed: int) -> str:
    """SIGTERM, SIGUSR1, SIGHUP and SIGINT at random moments: saved there, exit code 128 + number."""
    lab.whole()
    names = [name for name in ("SIGTERM", "SIGUSR1", "SIGHUP", "SIGINT") if hasattr(signal, name)]
    for place, name in enumerate(names):
        number = getattr(signal, name)
        attempt = lab.start("told", checkpoint__every_n_steps=1000)
        attempt.training()
        attempt.until(attempt.stepped, "its first step")
        time.sleep(KeyedRNG(sample_key(seed, 0, hash_text(name)), "moment").uniform(0, lab.seconds / 8))
        attempt.signal(number)
        attempt.end(128 + number)
        summary = json.loads(max((lab.work / "told").glob("runs/*/*/summary.json")).read_text())
        if summary["state"] != "interrupted" or summary["steps"] != lab.step("told"):
            raise FaultError(f"{name}: the checkpoint holds step {lab.step('told')}, the summary says {summary}")
        _tell(f"{name} ({place + 1} of {len(names)}): checkpoint of step {lab.step('told')}")
    lab.start("told").end(0)
    lab.same("told")
    return (
        f"{', '.join(names)}: saved at the step, exit codes {', '.join(str(128 + getattr(signal, n)) for n in names)}"
    )


def told_in_save(lab: FaultHarness, count: int, seed: int) -> str:
    """SIGTERM while a checkpoint is being written."""
    lab.whole()
    hits = 0
    for _ in range(3):
        attempt = lab.start("told-in-save")
        attempt.training()

        def writing() -> bool:
            return any((lab.work / "told-in-save").glob("runs/*/*/checkpoints/last.ckpt.partial"))

        attempt.until(writing, "a save", every=0.0002)
        attempt.signal(signal.SIGTERM)
        hits += writing()
        attempt.end(128 + signal.SIGTERM)
        _tell(f"SIGTERM in a save: checkpoint of step {lab.step('told-in-save')}")
    lab.start("told-in-save").end(0)
    lab.same("told-in-save")
    return f"3 times, {hits} surely while the file was open"


def not_finite(lab: FaultHarness, count: int, seed: int) -> str:
    """NaN in loss and gradient: single steps, then a series; the same with kill -9, and with SIGTERM in the series."""
    wrong = [3, 8, *range(20, 25)]
    spoil = ["--trainer.callbacks+=benchmarks.fault_injection.NaNInjector", f"--trainer.callbacks.steps={wrong}"]
    few: dict[str, Any] = {"checkpoint__every_n_steps": 6, "finite__patience": 5}
    lab.start("nan", *spoil, **few).end(0)
    whole = lab.checkpoint("nan")
    attempt = lab.start("nan-killed", *spoil, **few)
    attempt.training()
    attempt.until(lambda: lab.step("nan-killed") >= 6, "a checkpoint")
    attempt.killed()
    lab.start("nan-killed", *spoil, **few).end(0)
    lab.same("nan-killed", whole)
    lab.start("nan-told", *spoil, "--trainer.callbacks.told_at=22", **few).end(128 + signal.SIGTERM)
    after = lab.step("nan-told")
    lab.start("nan-told", *spoil, **few).end(0)
    lab.same("nan-told", whole)
    if after != 25:
        raise FaultError(f"told to end in step 22, in a series of bad steps to 24, the run saved step {after}")
    lines = max((lab.work / "nan").glob("runs/*/*/skipped_steps.jsonl")).read_text().splitlines()
    skipped = [json.loads(line)["step"] for line in lines]
    counts = whole["callbacks"]["SkipNonFiniteSteps"]
    if skipped != wrong or counts["rolled_back"] != 1 or whole["global_step"] != STEPS:
        raise FaultError(f"NaN in {wrong}: skipped {skipped}, {counts}, {whole['global_step']} steps")
    if not all(value.isfinite().all() for value in whole["state_dict"].values()):
        raise FaultError("NaN reached the weights")
    return f"{len(wrong)} steps skipped, 1 return to the last checkpoint; killed, or told to end in a series: the same"


def bad_files(lab: FaultHarness, count: int, seed: int) -> str:
    """A storm of damaged files: 5 % are replaced and listed, 60 % end the run with a sentence."""
    data = copied_clips(lab.work / "few-damaged")
    damaged = damage(data, 0.05)
    storm = {"data__root": data}
    lab.start("storm", **storm).end(0)
    attempt = lab.start("storm-killed", **storm)
    attempt.training()
    attempt.until(lambda: lab.step("storm-killed") >= 5, "a checkpoint")
    attempt.killed()
    lab.start("storm-killed", **storm).end(0)
    lab.same("storm-killed", lab.checkpoint("storm"))
    lines = max((lab.work / "storm").glob("runs/*/*/bad_samples.jsonl")).read_text().splitlines()
    listed = {json.loads(line)["path"] for line in lines}
    if not listed or not listed <= damaged:
        raise FaultError(f"listed as bad: {sorted(listed - damaged)[:3]} are not")
    many = copied_clips(lab.work / "many-damaged")
    damage(many, 0.6)
    hopeless = lab.start("hopeless", data__root=many)
    hopeless.end(1)
    if "data.max_bad_share" not in hopeless.last_line() or "Traceback" in hopeless.said():
        raise FaultError(f"60 % damaged ended with: {hopeless.last_line()}")
    return f"{len(listed)} damaged files met in {len(lines)} clips, listed; killed, resumed: the same; 60 %: stopped"


def data_gone(lab: FaultHarness, count: int, seed: int) -> str:
    """The data folder goes away: once it comes back, and once only before the run is resumed."""
    data, away = copied_clips(lab.work / "clips"), lab.work / "away"
    for name, wait, code in (("gone-and-back", 60, 0), ("gone", 0.02, 1)):
        attempt = lab.start(name, data__root=data, data__wait_minutes=wait)
        attempt.training()
        attempt.until(lambda name=name: lab.step(name) >= 5, "a checkpoint")  # type: ignore[misc]
        data.rename(away)
        attempt.until_ended_or(lambda attempt=attempt: "waiting up to" in attempt.said(), "it noticed")  # type: ignore[misc]
        if code == 0:
            time.sleep(1)
            away.rename(data)
        attempt.end(code)
        if "Traceback" in attempt.said():
            raise FaultError(f"{name}: without its data the run ended in a traceback")
        if code:
            away.rename(data)
            lab.start(name, data__root=data).end(0)
        lab.same(name)
    return "waited for it, went on; or stopped with a sentence, resumed"


def full_disk(lab: FaultHarness, count: int, seed: int) -> str:
    """No space left: training goes on and saves again once there is room; a run whose end is not saved fails."""
    lab.whole()
    with small_disk(lab.work / "disk", 64) as disk:
        small = FaultHarness(disk, lab.settings)
        ballast = disk / "ballast"
        attempt = small.start("full")
        attempt.training()
        attempt.until(lambda: small.step("full") >= 3, "a checkpoint")
        fill(ballast)
        kept = small.step("full")
        attempt.until(lambda: "is not saved" in attempt.said(), "it noticed the full disk")
        small.checkpoint("full")
        time.sleep(1)
        ballast.unlink()
        attempt.end(0)
        small.same("full", lab.whole())

        attempt = small.start("full-to-the-end")
        attempt.training()
        attempt.until(lambda: small.step("full-to-the-end") >= 3, "a checkpoint")
        fill(ballast)
        attempt.end(1)
        if "the end of training is lost" not in attempt.last_line() or "Traceback (most" in attempt.said():
            raise FaultError(f"on a full disk the run ended with: {attempt.last_line()}")
        stood = small.step("full-to-the-end")
        ballast.unlink()
        small.start("full-to-the-end").end(0)
        small.same("full-to-the-end", lab.whole())
    return f"full after step {kept}: went on and saved later; full to the end: exit 1 with step {stood} kept, resumed"


FAULTS: dict[str, Callable[[FaultHarness, int, int], str]] = {
    "kill": kill,
    "told": told,
    "told-in-save": told_in_save,
    "nan": not_finite,
    "bad-files": bad_files,
    "data-gone": data_gone,
    "full-disk": full_disk,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("faults", nargs="*", default=[], metavar="FAULT", help=f"of {', '.join(FAULTS)} (default: all)")
    parser.add_argument("--kills", type=int, default=50, help="how many times to kill -9 (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table to this file")
    parser.epilog = "example: python -m benchmarks.faults kill told --kills 10"


def run(args: argparse.Namespace) -> int:
    """Do it all and print a table; 1 where a promise was not kept."""
    unknown = [name for name in args.faults if name not in FAULTS]
    if unknown:
        raise ValueError(f"no fault {unknown[0]}: choose of {', '.join(FAULTS)}")
    if os.name != "posix":
        raise ValueError("bench faults needs kill -9 and a fork server, which Windows has not")
    rows = []
    with tempfile.TemporaryDirectory(prefix="faults-") as work:
        lab = FaultHarness(Path(work))
        for name in args.faults or FAULTS:
            begin = time.monotonic()
            try:
                state, detail = "kept", FAULTS[name](lab, args.kills, args.seed)
            except NotPossibleError as reason:
                state, detail = "skipped", str(reason)
            except FaultError as error:
                state, detail = "broken", str(error)
            rows.append({"fault": name, "promise": state, "detail": detail, "seconds": round(time.monotonic() - begin)})
            print(f"{name:13} {state:8} {rows[-1]['seconds']:5} s  {detail}", flush=True)
    if args.json:
        about = {"machine": platform.machine(), "cores": os.cpu_count(), "steps": STEPS, "seed": args.seed}
        args.json.write_text(json.dumps({**about, "faults": rows}, indent=2) + "\n")
    return int(any(row["promise"] == "broken" for row in rows))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main("faults", __doc__, configure, run))
