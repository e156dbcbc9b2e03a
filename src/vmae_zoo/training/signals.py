"""Being told to end: by a scheduler (SIGTERM, SIGUSR1), a closed terminal (SIGHUP) or Ctrl-C.

A signal only leaves a mark here; training looks at it between two steps, in every process alike. Lightning 2.6 saves
inside the handler when SLURM says that time is up, so in the middle of whatever was going on, and under ``ddp`` it
talks to the other processes from there; it also makes the device wait for the host each batch to ask about signals.
"""

import os
import re
import signal
import subprocess
import threading
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from vmae_zoo.lightning_internals import requeues_under_slurm

NAMES = ("SIGTERM", "SIGUSR1", "SIGINT", "SIGHUP")  # Windows has no SIGUSR1 and no SIGHUP


class Signals:
    """Remembers the last signal instead of dying of it; Lightning puts the old handlers back when the run ends."""

    def __init__(self) -> None:
        self.number = 0

    def install(self) -> None:
        """Take over from now on; only the main thread may, and what was asked to be ignored (``nohup``) stays so."""
        self.number = 0
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            now = signal.getsignal(number)
            owner = getattr(now, "__module__", "") if callable(now) else "nobody"
            foreign = not owner.startswith(("nobody", "lightning", "_signal", "signal", "vmae_zoo"))
            if now is not signal.SIG_IGN and not (foreign and number == getattr(signal, "SIGUSR1", None)):
                signal.signal(number, self._hear)  # submitit and the like requeue by a SIGUSR1 handler of their own

    def _hear(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT:
            if self.number == number:
                raise KeyboardInterrupt
            os.write(2, b"\nstopping after this step; Ctrl-C again stops at once\n")  # print is not safe in a handler
        self.number = number


class AsyncMaxReduce:
    """The largest of what each process says, known to all of them one call later, so that nobody waits for anybody."""

    def __init__(self, processes: int):
        self._group: Any = torch.distributed.new_group(backend="gloo") if processes > 1 else None
        self._said: Tensor | None = None
        self._sent: Any = None

    def __call__(self, *said: int) -> list[int]:
        """Say something; the answer is about what was said the last time. One process is answered at once."""
        if self._group is None:
            return list(said)
        heard = self.result() or [0] * len(said)
        self._said = torch.tensor(said)
        self._sent = torch.distributed.all_reduce(
            self._said, torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        return heard

    def result(self) -> list[int] | None:
        """What all processes said the last time; None where nothing was said yet."""
        if self._sent is None or self._said is None:
            return None
        self._sent.wait()
        self._sent = None
        return self._said.tolist()


def raise_for_signal(trainer: Trainer, number: int) -> None:
    """End the run that a signal ended: exit code 128 + its number, 130 for Ctrl-C; under SLURM, SIGUSR1 requeues."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if requeues_under_slurm(trainer) and number == getattr(signal, "SIGUSR1", None) and trainer.is_global_zero:
        requeue()
    raise SIGTERMException(128 + number)


def requeue() -> None:
    """Put this SLURM job back into the queue."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID", "")
    if not re.fullmatch(r"[0-9_]+", job):
        return rank_zero_warn(f"SLURM_JOB_ID = {job!r} is no job: not requeued")
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    except OSError as error:
        return rank_zero_warn(f"job {job} was saved but not requeued: scontrol: {error.strerror}")
    if done.returncode:
        rank_zero_warn(f"job {job} was saved but not requeued: {done.stderr.strip()}")
