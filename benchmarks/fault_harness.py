"""Small real runs that things are done to: started, watched, killed, resumed, and compared bit for bit.

Runs are started by `multiprocessing`'s fork server, which has imported everything once: each is a process of its own,
with the command line's `main` in it, but starts in a second or two.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STEPS = 60  # two epochs of the embedded clips
PATIENCE_SECONDS = 600.0  # for a run on a busy machine
PRELOAD = ("vmae_zoo.cli.trainer", "vmae_zoo.methods", "vmae_zoo.data", "torch.utils.tensorboard", "torch._dynamo")

SETTINGS = {
    "model.width": 48,
    "model.depth": 2,
    "model.num_heads": 2,
    "model.decoder_width": 32,
    "model.decoder_depth": 1,
    "model.decoder_num_heads": 2,
    "data.size": 48,
    "data.frames": 4,
    "data.batch_size": 8,
    "data.global_batch": 8,
    "data.workers": 1,
    "trainer.max_epochs": -1,
    "trainer.max_steps": STEPS,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.limit_val_batches": 1,
    "checkpoint.every_n_steps": 1,
    "pictures.every_n_steps": 25,
}


class FaultError(Exception):
    """A promise was not kept."""


class RunProcess:
    """One process of a run.

    Args:
        folder: current folder of the process; its run lies in ``runs`` there.
        arguments: of the command line.
    """

    def __init__(self, folder: Path, arguments: list[str]):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "log.txt"
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOAD))
        self.process = context.Process(target=_run, args=(folder, self.log, arguments))
        self.process.start()
        self.started = time.monotonic()

    def said(self) -> str:
        """What it printed."""
        if not self.log.exists():
            return ""
        with self.log.open(errors="replace") as log:
            log.seek(self._read_from)
            return log.read()

    def until(self, condition: Callable[[], Any], what: str, every: float = 0.01) -> None:
        """Wait until something is so; `FaultError` where the process ends before."""
        while not condition():
            if self.process.exitcode is not None:
                raise FaultError(f"the run ended with {self.process.exitcode} before {what}: {self.last_line()}")
            if time.monotonic() - self.started > PATIENCE_SECONDS:
                raise FaultError(f"{what} did not come in {PATIENCE_SECONDS:.0f} s: {self.last_line()}")
            time.sleep(every)

    def until_ended_or(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until something is so, or the process has ended well."""
        self.until(lambda: self.process.exitcode == 0 or condition(), what)

    def training(self) -> None:
        """Wait until it is about to train."""
        self.until(lambda: "folder: " in self.said(), "it trained")

    def stepped(self) -> bool:
        """Whether it has made a step."""
        return "\nstep " in self.said()

    def signal(self, number: int) -> None:
        """Send a signal to the process alone, if it is there."""
        assert self.process.pid is not None
        if self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def killed(self) -> int:
        """Kill -9; the exit code, 0 where it had come to its end; `FaultError` where it had ended otherwise."""
        self.signal(signal.SIGKILL)
        code = self.end()
        if code not in (0, -signal.SIGKILL):
            raise FaultError(f"the run ended with {code} before it was killed: {self.last_line()}")
        return code

    def end(self, code: int | None = None) -> int:
        """Wait for its end; `FaultError` where it does not end with ``code``."""
        self.process.join(PATIENCE_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            raise FaultError(f"the run did not end in {PATIENCE_SECONDS:.0f} s: {self.last_line()}")
        if code is not None and self.process.exitcode != code:
            raise FaultError(f"exit code {self.process.exitcode} instead of {code}: {self.last_line()}")
        return self.process.exitcode

    def last_line(self) -> str:
        """The last thing it printed."""
        return next((line for line in reversed(self.said().splitlines()) if line.strip()), "it printed nothing")


class FaultHarness:
    """A folder of runs by one recipe.

    Args:
        work: scratch.
        settings: on top of `SETTINGS`.
    """

    def __init__(self, work: Path, settings: dict[str, Any] | None = None):
        self.work = work
        self.settings = {**SETTINGS, **(settings or {})}
        self.steps = self.settings["trainer.max_steps"]
        self._whole: dict[str, Any] | None = None
        self.seconds = 0.0  # from the first step to the end of the undisturbed run

    def start(self, name: str, *arguments: str, **changes: Any) -> RunProcess:
        """Start or, where it has a checkpoint, resume a run.

        Args:
            name: folder below ``work``.
            arguments: more of them.
            changes: settings by name, "." written as "__".
        """
        settings = {**self.settings, **{key.replace("__", "."): value for key, value in changes.items()}}
        given = ["fit", "-c", "recipes/videomae.yaml", *(f"--{key}={value}" for key, value in settings.items())]
        resumed = ["--ckpt_path", "last"] if self.last(name) else []
        return RunProcess(self.work / name, [*given, *arguments, *resumed])

    def last(self, name: str) -> Path | None:
        """The newest ``last.ckpt`` of a run."""
        return max((self.work / name).glob("runs/*/*/checkpoints/last.ckpt"), default=None)

    def written(self, name: str) -> int:
        """When that was written; 0 without one."""
        file = self.last(name)
        return file.stat().st_mtime_ns if file else 0

    def newer(self, name: str, time_ns: int) -> bool:
        """Whether it has been written again since."""
        return self.written(name) != time_ns

    def checkpoint(self, name: str) -> dict[str, Any]:
        """What it holds; `FaultError` where there is none or it cannot be read."""
        import torch

        file = self.last(name)
        if file is None:
            raise FaultError(f"{name} left no checkpoint")
        try:
            return torch.load(file, weights_only=True)
        except Exception as error:
            raise FaultError(f"{file} cannot be read: {error}") from error

    def step(self, name: str) -> int:
        """Steps in the checkpoint of a run; 0 without one."""
        return self.checkpoint(name)["global_step"] if self.last(name) else 0

    def whole(self) -> dict[str, Any]:
        """The last checkpoint of a run that nothing is done to."""
        if self._whole is None:
            attempt = self.start("undisturbed")
            attempt.training()
            begin = time.monotonic()
            attempt.end(0)
            self.seconds = time.monotonic() - begin
            self._whole = self.checkpoint("undisturbed")
        return self._whole

    def same(self, name: str, other: dict[str, Any] | None = None) -> None:
        """`FaultError` unless a run ended with the bits of the undisturbed one."""
        different = list(differences(self.checkpoint(name), other or self.whole()))
        if different:
            raise FaultError(f"{name} ended otherwise than the undisturbed run: {', '.join(different[:3])}")


def differences(one: dict[str, Any], two: dict[str, Any]) -> Iterator[str]:
    """Names of what differs in two checkpoints: weights, moments, schedule, step, place in the data."""
    import torch
    from torch.utils._pytree import keystr, tree_flatten_with_path

    for part in ("global_step", "epoch", "state_dict", "optimizer_states", "lr_schedulers", "ClipDataModule"):
        ours, theirs = (dict(tree_flatten_with_path(checkpoint.get(part))[0]) for checkpoint in (one, two))
        for path in ours.keys() | theirs.keys():
            a, b = ours.get(path), theirs.get(path)
            if not (torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b):
                yield f"{part}{keystr(path)}"


def _run(folder: Path, log: Path, arguments: list[str]) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.chdir(folder)
    import torch

    torch.set_num_threads(1)  # two that wait for each other crawl where a core is busy
    multiprocessing.set_start_method("fork", force=True)  # a loader's workers start as they do elsewhere
    sys.argv = ["vmae-zoo", *arguments]
    runpy.run_module("vmae_zoo", run_name="__main__")
