"""The faults of `benchmarks.faults`: each function injects one, checks the promise and describes what happened.

All take the harness, the number of kills and a seed, and raise `FaultError` if a promise is broken.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_harness import STEPS, TIMEOUT_SECONDS, FaultError, FaultHarness, differences
from benchmarks.fault_injection import NotPossibleError, copy_demo_clips, damage_videos, fill_disk, small_disk
from vmae_zoo.cli.runs import state
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key
from vmae_zoo.run_record import LAST, RECIPE, SUMMARY, read_summary
from vmae_zoo.training.checkpoint_io import read_checkpoint


def kill(harness: FaultHarness, count: int, seed: int) -> str:
    """Kill -9 at random moments, resumed each time, in as many runs as it takes."""
    harness.reference()
    killed = during_save = early = runs = 0
    first_save = 5.0  # seconds from the start
    while killed < count:
        name, before = f"killed-{runs}", 0
        while killed < count:
            rng = KeyedRNG(sample_key(seed, 0, hash_text("kill"), killed), "moment")
            run, last = harness.start(name), harness.written(name)
            if killed % 4 == 3:
                early += 1
                time.sleep(rng.uniform(0, first_save))
            else:
                run.until_ended_or(partial(harness.saved_since, name, last), "checkpoint")
                first_save = time.monotonic() - run.started
                time.sleep(rng.uniform(0, 8 * harness.seconds / harness.steps))
            if run.kill() == 0:  # it had finished before
                break
            killed += 1
            during_save += any((harness.work / name).glob("runs/*/*/checkpoints/.last.ckpt.*.part"))
            step = harness.step(name)
            if step < before:
                raise FaultError(f"{name} went back from step {before} to {step}")
            before = step
            _log(f"kill {killed} of {count}: checkpoint of step {step}")
        harness.start(name).end(0)
        harness.check_equal(name)
        runs += 1
    return f"{killed} kills ({during_save} during a save, {early} before the first one) of {runs} runs"


def signals(harness: FaultHarness, count: int, seed: int) -> str:
    """SIGTERM, SIGUSR1, SIGHUP and SIGINT at random moments: saved at that step, exit code 128 + number."""
    harness.reference()
    wanted = [number for number in signal.Signals if number.name in ("SIGTERM", "SIGUSR1", "SIGHUP", "SIGINT")]
    for number in wanted:
        run = harness.start("signaled", checkpoint__every_n_steps=1000)
        run.until_training()
        run.until(run.has_stepped, "first step")
        time.sleep(KeyedRNG(sample_key(seed, 0, hash_text(number.name)), "moment").uniform(0, harness.seconds / 8))
        run.signal(number)
        run.end(128 + number)
        summary = json.loads(max((harness.work / "signaled").glob("runs/*/*/summary.json")).read_text())
        step = harness.step("signaled")
        if summary["state"] != "interrupted" or summary["steps"] != step:
            raise FaultError(f"{number.name}: the checkpoint is of step {step}, the summary is {summary}")
        _log(f"{number.name}: checkpoint of step {step}")
    harness.start("signaled").end(0)
    harness.check_equal("signaled")
    return f"saved at the step, exit codes {', '.join(f'{number.name} {128 + number}' for number in wanted)}"


def signal_in_save(harness: FaultHarness, count: int, seed: int) -> str:
    """SIGTERM while a checkpoint is being written."""
    harness.reference()
    hits = 0
    for _ in range(3):
        run = harness.start("signal-in-save")
        run.until_training()

        def saving() -> bool:
            return any((harness.work / "signal-in-save").glob("runs/*/*/checkpoints/.last.ckpt.*.part"))

        run.until(saving, "checkpoint", every=0.0002)
        run.signal(signal.SIGTERM)
        hits += saving()
        run.end(128 + signal.SIGTERM)
        _log(f"SIGTERM during a save: checkpoint of step {harness.step('signal-in-save')}")
    harness.start("signal-in-save").end(0)
    harness.check_equal("signal-in-save")
    return f"3 times, {hits} of them certainly while the file was open"


def nan(harness: FaultHarness, count: int, seed: int) -> str:
    """NaN in losses and gradients, in single steps and a series; then with kill -9, and with SIGTERM in the series."""
    steps = [3, 8, *range(20, 25)]
    inject = ["--trainer.callbacks+=benchmarks.fault_injection.NaNInjector", f"--trainer.callbacks.steps={steps}"]
    changes: dict[str, Any] = {"checkpoint__every_n_steps": 6, "finite__patience": 5}
    harness.start("nan", *inject, **changes).end(0)
    reference = harness.checkpoint("nan")
    run = harness.start("nan-killed", *inject, **changes)
    run.until_training()
    run.until(lambda: harness.step("nan-killed") >= 6, "checkpoint")
    run.kill()
    harness.start("nan-killed", *inject, **changes).end(0)
    harness.check_equal("nan-killed", reference)
    sigterm = "--trainer.callbacks.sigterm_at=22"
    harness.start("nan-signaled", *inject, sigterm, **changes).end(128 + signal.SIGTERM)
    saved = harness.step("nan-signaled")
    harness.start("nan-signaled", *inject, **changes).end(0)
    harness.check_equal("nan-signaled", reference)
    if saved != 25:
        raise FaultError(f"SIGTERM in step 22, in a series of skipped steps to 24: the checkpoint is of step {saved}")
    lines = max((harness.work / "nan").glob("runs/*/*/skipped_steps.jsonl")).read_text().splitlines()
    skipped = [json.loads(line)["step"] for line in lines]
    counts = reference["callbacks"]["SkipNonFiniteSteps"]
    if skipped != steps or counts["rolled_back"] != 1 or reference["global_step"] != STEPS:
        raise FaultError(f"NaN in {steps}: skipped {skipped}, {counts}, {reference['global_step']} steps")
    if not all(value.isfinite().all() for value in reference["state_dict"].values()):
        raise FaultError("NaN in the weights")
    return f"{len(steps)} steps skipped, 1 rollback; killed, or signaled in a series: equal"


def bad_files(harness: FaultHarness, count: int, seed: int) -> str:
    """5 % damaged files are replaced and listed; 60 % stop the run with a message."""
    data = copy_demo_clips(harness.work / "few-damaged")
    damaged = damage_videos(data, 0.05)
    changes: dict[str, Any] = {"data__root": data}
    harness.start("damaged", **changes).end(0)
    run = harness.start("damaged-killed", **changes)
    run.until_training()
    run.until(lambda: harness.step("damaged-killed") >= 5, "checkpoint")
    run.kill()
    harness.start("damaged-killed", **changes).end(0)
    harness.check_equal("damaged-killed", harness.checkpoint("damaged"))
    lines = max((harness.work / "damaged").glob("runs/*/*/bad_samples.jsonl")).read_text().splitlines()
    listed = {json.loads(line)["path"] for line in lines}
    if not listed or not listed <= damaged:
        raise FaultError(f"files listed as unreadable that are intact: {sorted(listed - damaged)[:3]}")
    many = copy_demo_clips(harness.work / "many-damaged")
    damage_videos(many, 0.6)
    run = harness.start("too-many", data__root=many)
    run.end(1)
    if "data.max_bad_share" not in run.last_line() or "Traceback" in run.output():
        raise FaultError(f"60 % damaged files ended the run with: {run.last_line()}")
    return f"{len(listed)} damaged files in {len(lines)} clips, listed; killed, resumed: equal; 60 %: stopped"


def data_gone(harness: FaultHarness, count: int, seed: int) -> str:
    """The data folder disappears: it comes back while the run waits, or after the run has given up."""
    data, away = copy_demo_clips(harness.work / "clips"), harness.work / "away"
    for name, wait, code in (("gone-and-back", 60, 0), ("gone", 0.02, 1)):
        run = harness.start(name, data__root=data, data__wait_minutes=wait)
        run.until_training()
        run.until(lambda name=name: harness.step(name) >= 5, "checkpoint")  # type: ignore[misc]
        data.rename(away)
        run.until_ended_or(lambda run=run: "waiting" in run.output(), "message about the folder")  # type: ignore[misc]
        if code == 0:
            time.sleep(1)
            away.rename(data)
        run.end(code)
        if "Traceback" in run.output():
            raise FaultError(f"{name}: without its data the run ended with a traceback")
        if code:
            away.rename(data)
            harness.start(name, data__root=data).end(0)
        harness.check_equal(name)
    return "waited and went on; or stopped with a message, resumed"


def full_disk(harness: FaultHarness, count: int, seed: int) -> str:
    """No space left: training goes on and saves once there is room; a run whose last checkpoint is lost fails."""
    harness.reference()
    with small_disk(harness.work / "disk", 64) as disk:
        small = FaultHarness(disk, harness.settings)
        ballast = disk / "ballast"
        run = small.start("full")
        run.until_training()
        run.until(lambda: small.step("full") >= 3, "checkpoint")
        fill_disk(ballast)
        kept = small.step("full")
        run.until(lambda: "No space left" in run.output(), "message about the full disk")
        small.checkpoint("full")
        time.sleep(1)
        ballast.unlink()
        run.end(0)
        small.check_equal("full", harness.reference())

        run = small.start("full-to-the-end")
        run.until_training()
        run.until(lambda: small.step("full-to-the-end") >= 3, "checkpoint")
        fill_disk(ballast)
        run.end(1)
        if "No space left" not in run.last_line() or "Traceback (most" in run.output():
            raise FaultError(f"on a full disk the run ended with: {run.last_line()}")
        last = small.step("full-to-the-end")
        ballast.unlink()
        small.start("full-to-the-end").end(0)
        small.check_equal("full-to-the-end", harness.reference())
    return f"full after step {kept}: went on and saved later; full to the end: exit 1, step {last} kept, resumed"


def two_writers(harness: FaultHarness, count: int, seed: int) -> str:
    """A second process is refused, readers see whole files, and the lock of a killed process is taken over."""
    harness.reference()
    run = harness.start("shared")
    run.until_training()
    run.until(lambda: harness.step("shared") >= 3, "checkpoint")
    reads = 20
    for _ in range(reads):  # while the run writes
        harness.checkpoint("shared")
    run.signal(signal.SIGSTOP)  # it must not end before the second one has started
    second = harness.start("shared")
    second.end(1)
    if f"is in use by process {run.process.pid} on " not in second.output():
        raise FaultError(f"the second process ended with: {second.last_line()}")
    run.kill()
    folder = harness.folder("shared")
    if (found := state(folder, read_summary(folder)["state"])) != "dead":
        raise FaultError(f"`vmae-zoo runs` shows a killed run as {found}")
    harness.start("shared").end(0)
    harness.check_equal("shared")
    return f"the second one was refused; {reads} reads, none torn; killed: shown as dead, resumed: equal"


def records(harness: FaultHarness, count: int, seed: int) -> str:
    """The clock was set back between two runs, and the records of both are torn: ``last`` is the second run."""
    harness.start("clock", trainer__max_steps=4).end(0)
    first = harness.folder("clock")
    ahead = first.rename(first.with_name("29991231-235959"))  # as a clock that was ahead has named it
    harness.start("clock", trainer__max_steps=6, resume=False).end(0)
    (second,) = set(ahead.parent.iterdir()) - {ahead}
    (ahead / SUMMARY).write_bytes((ahead / SUMMARY).read_bytes()[:60])
    for file in (second / RECIPE, ahead / RECIPE):
        file.write_bytes(file.read_bytes()[:400])
    harness.start("clock").end(0)
    steps = [read_checkpoint(run / LAST)["global_step"] for run in (ahead, second)]
    if steps != [4, harness.steps]:
        raise FaultError(f"of 4 and 6 steps, the two runs came to {steps}")
    return "the run that was started last was resumed, beside torn summary.json and recipe.yaml"


def flipped_bytes(harness: FaultHarness, count: int, seed: int) -> str:
    """One byte of ``last.ckpt`` is another, twenty times: refused, or nothing that is loaded differs."""
    reference = harness.reference()
    file, refused = harness.work / "flipped" / "last.ckpt", 0
    file.parent.mkdir()
    content = (harness.folder("reference") / LAST).read_bytes()
    for number in range(20):
        rng = KeyedRNG(sample_key(seed, 0, hash_text("flip"), number), "place")
        changed, place = bytearray(content), int(rng.uniform(0, len(content)))
        changed[place] ^= 1 << int(rng.uniform(0, 8))
        file.write_bytes(changed)
        try:
            found = list(differences(read_checkpoint(file), reference))
        except ValueError as error:
            _log(str(error))
            refused += 1
        else:
            if found:
                raise FaultError(f"byte {place} of {len(content)} was loaded: {', '.join(found[:3])}")
    return f"20 times: {refused} refused, {20 - refused} in bytes that hold nothing"


def worker_killed(harness: FaultHarness, count: int, seed: int) -> str:
    """Kill -9 to a data worker: the run saves its last step, ends with one sentence, and is resumed."""
    harness.reference()
    run = harness.start("worker", checkpoint__every_n_steps=1000)
    run.until_training()
    run.until(run.has_stepped, "first step")
    os.kill(children(run.process.pid)[0], signal.SIGKILL)
    run.end(1)
    summary = read_summary(harness.folder("worker"))
    if "data worker" not in run.last_line() or "Traceback" in run.output():
        raise FaultError(f"without its worker the run ended with: {run.last_line()}")
    if summary["state"] != "failed" or summary["steps"] != harness.step("worker"):
        raise FaultError(f"the checkpoint is of step {harness.step('worker')}, the summary is {summary}")
    harness.start("worker").end(0)
    harness.check_equal("worker")
    return f"saved at step {summary['steps']}: {summary['reason'][:60]}...; resumed: equal"


def rank_killed(harness: FaultHarness, count: int, seed: int) -> str:
    """Kill -9 to one of two processes: the other ends with one sentence; the last checkpoint is resumed."""
    two = {"trainer.devices": 2, "trainer.strategy": "ddp", "trainer.accelerator": "cpu", "data.batch_size": 4}
    settings = {**harness.settings, **two}
    command = [sys.executable, "-m", "vmae_zoo", "fit", "-c", "recipes/videomae.yaml"]
    command += [f"--{key}={value}" for key, value in settings.items()]
    folder, log = harness.work / "rank", harness.work / "rank.log"
    folder.mkdir()
    with log.open("w") as out:
        run = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
    begin = time.monotonic()
    while harness.last("rank") is None or harness.step("rank") < 3:
        if run.poll() is not None or time.monotonic() - begin > TIMEOUT_SECONDS:
            raise FaultError(f"no third step: {log.read_text()[-300:]}")
        time.sleep(0.05)
    (other,) = (pid for pid in children(run.pid) if b"LOCAL_RANK=1" in Path(f"/proc/{pid}/environ").read_bytes())
    os.kill(other, signal.SIGKILL)
    code = run.wait(TIMEOUT_SECONDS)
    run_folder = harness.folder("rank")
    shown, kept = state(run_folder, read_summary(run_folder)["state"]), harness.step("rank")
    if code == 0 or shown not in ("failed", "dead") or "Traceback" in log.read_text():
        raise FaultError(f"exit code {code}, state {shown}: {log.read_text()[-300:]}")
    harness.start("rank", data__batch_size=4).end(0)
    if harness.step("rank") != harness.steps:
        raise FaultError(f"resumed from step {kept}, the run came to step {harness.step('rank')}")
    return f"exit code {code}, state {shown}, step {kept} kept; resumed by one process"


def children(pid: int | None) -> list[int]:
    """The child processes of a process (Linux)."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError as error:
        raise NotPossibleError(f"child processes cannot be listed: {error.strerror}") from error


SCENARIOS: dict[str, Callable[[FaultHarness, int, int], str]] = {
    "kill": kill,
    "signals": signals,
    "signal-in-save": signal_in_save,
    "nan": nan,
    "bad-files": bad_files,
    "data-gone": data_gone,
    "full-disk": full_disk,
    "two-writers": two_writers,
    "records": records,
    "flipped-bytes": flipped_bytes,
    "worker-killed": worker_killed,
    "rank-killed": rank_killed,
}


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
