"""Small real training runs that are started, watched, killed, resumed, and compared bit for bit.

The fork server of `multiprocessing` starts them and has imported everything once: each run is a separate process that
calls the command line, but starts within a second or two.
"""

import gc
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
TIMEOUT_SECONDS = 600.0  # for a run on a busy machine
PRELOAD = ("vmae_zoo.cli.run_cli", "vmae_zoo.methods", "vmae_zoo.data", "torch.utils.tensorboard", "torch._dynamo")

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
    """A run did not behave as promised."""


class RunProcess:
    """A process that trains.

    Args:
        folder: working directory of the process; the run folder is created in ``runs`` below it.
        arguments: arguments of the command line.
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

    def output(self) -> str:
        """What the process printed."""
        if not self.log.exists():
            return ""
        with self.log.open(errors="replace") as log:
            log.seek(self._read_from)
            return log.read()

    def until(self, condition: Callable[[], Any], what: str, every: float = 0.05) -> None:
        """Wait for a condition; `FaultError` if the process ends first."""
        while not condition():
            if self.process.exitcode is not None:
                raise FaultError(f"the run exited with {self.process.exitcode} before {what}: {self.last_line()}")
            if time.monotonic() - self.started > TIMEOUT_SECONDS:
                raise FaultError(f"no {what} within {TIMEOUT_SECONDS:.0f} s: {self.last_line()}")
            time.sleep(every)

    def until_ended_or(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition or the successful end of the process."""
        self.until(lambda: self.process.exitcode == 0 or condition(), what)

    def until_training(self) -> None:
        """Wait until training is about to start."""
        self.until(lambda: "folder: " in self.output(), "start of training")

    def has_stepped(self) -> bool:
        """Whether it has finished a step."""
        return "\nstep " in self.output()

    def signal(self, number: int) -> None:
        """Send a signal to the process alone, if it is alive."""
        assert self.process.pid is not None
        if self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def kill(self) -> int:
        """Kill -9; the exit code: 0 if it had finished before. `FaultError` if it had failed."""
        self.signal(signal.SIGKILL)
        code = self.end()
        if code not in (0, -signal.SIGKILL):
            raise FaultError(f"the run exited with {code} before it was killed: {self.last_line()}")
        return code

    def end(self, code: int | None = None) -> int:
        """Wait for its end; `FaultError` if the exit code is not ``code``."""
        self.process.join(TIMEOUT_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            raise FaultError(f"the run did not end within {TIMEOUT_SECONDS:.0f} s: {self.last_line()}")
        if code is not None and self.process.exitcode != code:
            raise FaultError(f"exit code {self.process.exitcode} instead of {code}: {self.last_line()}")
        return self.process.exitcode

    def last_line(self) -> str:
        """The last line that it printed."""
        return next((line for line in reversed(self.output().splitlines()) if line.strip()), "no output")


class FaultHarness:
    """A folder of runs of one recipe.

    Args:
        work: folder for the runs.
        settings: changes to `SETTINGS`.
    """

    def __init__(self, work: Path, settings: dict[str, Any] | None = None):
        self.work = work
        self.settings = {**SETTINGS, **(settings or {})}
        self.steps = self.settings["trainer.max_steps"]
        self._reference: dict[str, Any] | None = None
        self.seconds = 0.0  # from the first step to the end of the reference run

    def start(self, name: str, *arguments: str, resume: bool = True, **changes: Any) -> RunProcess:
        """Start a run, or resume it if it has a checkpoint.

        Args:
            name: folder below ``work``.
            arguments: more arguments of the command line.
            resume: False: start another run.
            changes: changed settings; "__" in a name stands for ".".
        """
        settings = {**self.settings, **{key.replace("__", "."): value for key, value in changes.items()}}
        given = ["fit", "-c", "recipes/videomae.yaml", *(f"--{key}={value}" for key, value in settings.items())]
        resumed = ["--ckpt_path", "last"] if resume and self.last(name) else []
        return RunProcess(self.work / name, [*given, *arguments, *resumed])

    def last(self, name: str) -> Path | None:
        """The newest ``last.ckpt`` of a run."""
        return max((self.work / name).glob("runs/*/*/checkpoints/last.ckpt"), default=None)

    def folder(self, name: str) -> Path:
        """The newest run folder of a run."""
        return max((self.work / name).glob("runs/*/*"))

    def written(self, name: str) -> int:
        """Modification time of the newest ``last.ckpt``; 0 if there is none."""
        file = self.last(name)
        return file.stat().st_mtime_ns if file else 0

    def saved_since(self, name: str, time_ns: int) -> bool:
        """Whether ``last.ckpt`` has been written again since."""
        return self.written(name) != time_ns

    def checkpoint(self, name: str) -> dict[str, Any]:
        """The newest checkpoint; `FaultError` if there is none or it cannot be read."""
        import torch

        file = self.last(name)
        if file is None:
            raise FaultError(f"{name} has no checkpoint")
        try:
            return torch.load(file, weights_only=True)
        except Exception as error:
            raise FaultError(f"{file} cannot be read: {error}") from error

    def step(self, name: str) -> int:
        """Step of the newest checkpoint; 0 if there is none."""
        return self.checkpoint(name)["global_step"] if self.last(name) else 0

    def reference(self) -> dict[str, Any]:
        """The last checkpoint of an undisturbed run."""
        if self._reference is None:
            run = self.start("reference")
            run.until_training()
            begin = time.monotonic()
            run.end(0)
            self.seconds = time.monotonic() - begin
            self._reference = self.checkpoint("reference")
        return self._reference

    def check_equal(self, name: str, other: dict[str, Any] | None = None) -> None:
        """`FaultError` unless the last checkpoint of a run equals that of the reference run bit for bit."""
        different = list(differences(self.checkpoint(name), other or self.reference()))
        if different:
            raise FaultError(f"{name} differs from the reference run: {', '.join(different[:3])}")


def differences(one: dict[str, Any], two: dict[str, Any]) -> Iterator[str]:
    """Names of the differences of two checkpoints: weights, moments, schedule, step, position in the data."""
    import torch
    from torch.utils._pytree import keystr, tree_flatten_with_path

    for part in ("global_step", "epoch", "state_dict", "optimizer_states", "lr_schedulers", "ClipDataModule"):
        ours, theirs = (dict(tree_flatten_with_path(checkpoint.get(part))[0]) for checkpoint in (one, two))
        for path in ours.keys() | theirs.keys():
            a, b = ours.get(path), theirs.get(path)
            if not (torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b):
                yield f"{part}{keystr(path)}"


def _run(folder: Path, log: Path, arguments: list[str]) -> None:
    gc.freeze()  # a collection would copy the memory that it shares with the server
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.chdir(folder)
    import torch

    torch.set_num_threads(1)  # threads that wait for each other are slow on a busy core
    multiprocessing.set_start_method("fork", force=True)  # data workers start as in other runs
    sys.argv = ["vmae-zoo", *arguments]
    runpy.run_module("vmae_zoo", run_name="__main__")
