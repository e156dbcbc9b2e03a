"""Stop signals: from a scheduler (SIGTERM, SIGUSR1), a closed terminal (SIGHUP) or Ctrl-C (SIGINT).

The handler only stores the signal's number; training checks it between two steps, in every process at the same step.
Lightning 2.6 saves a checkpoint inside the handler if SLURM's time limit is near, at any point of a step, and
communicates with the other processes from there under ``ddp``; it also synchronizes host and device before each batch
to share the state of SIGTERM.
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

STOP_SIGNALS = [  # Windows has neither SIGUSR1 nor SIGHUP
    signal.Signals[name] for name in ("SIGTERM", "SIGUSR1", "SIGINT", "SIGHUP") if name in signal.Signals.__members__
]
SIGUSR1 = signal.Signals.__members__.get("SIGUSR1")
REPLACEABLE = ("lightning", "_signal", "signal", "vmae_zoo")  # modules of handlers that are replaced


class Signals:
    """Handlers that store the last signal; Lightning restores the previous handlers when the run ends.

    Attributes:
        number: of the last signal; 0 if there was none.
    """

    def __init__(self) -> None:
        self.number = 0

    def install(self) -> None:
        """Replace the handlers, which Python allows in the main thread only.

        Ignored signals (``nohup``) stay ignored. A SIGUSR1 handler of another library stays, such as that of submitit,
        which requeues the job.
        """
        self.number = 0
        if threading.current_thread() is not threading.main_thread():
            return
        for number in STOP_SIGNALS:
            handler = signal.getsignal(number)
            module = getattr(handler, "__module__", None) or ""
            foreign = callable(handler) and not module.startswith(REPLACEABLE)
            if handler is not signal.SIG_IGN and not (foreign and number == SIGUSR1):
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT:
            if self.number == number:
                raise KeyboardInterrupt
            os.write(2, b"\nstopping after this step; Ctrl-C again stops at once\n")  # print is not safe in a handler
        self.number = number


class AsyncMaxReduce:
    """Asynchronous all-reduce (max) of a few integers; a call returns the result of the previous call.

    A single process gets its own values at once.
    """

    def __init__(self, processes: int):
        self._group: Any = torch.distributed.new_group(backend="gloo") if processes > 1 else None
        self._values: Tensor | None = None
        self._work: Any = None

    def __call__(self, *values: int) -> list[int]:
        """Start a reduction of ``values``; returns the maxima of the previous call, zeros at the first."""
        if self._group is None:
            return list(values)
        previous = self.result() or [0] * len(values)
        self._values = torch.tensor(values)
        self._work = torch.distributed.all_reduce(
            self._values, torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        return previous

    def result(self) -> list[int] | None:
        """Wait for the pending reduction and return its maxima; None if there is none."""
        if self._work is None or self._values is None:
            return None
        self._work.wait()
        self._work = None
        return self._values.tolist()


def raise_for_signal(trainer: Trainer, number: int) -> None:
    """End the run after a signal: exit code 128 + number, 130 for Ctrl-C. Under SLURM, SIGUSR1 requeues the job."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number == SIGUSR1 and requeues_under_slurm(trainer) and trainer.is_global_zero:
        requeue()
    raise SIGTERMException(128 + number)


def requeue() -> None:
    """Requeue this SLURM job by ``scontrol``; a failure is a warning."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ.get("SLURM_JOB_ID", "")
    if not re.fullmatch(r"[0-9_]+", job):
        return rank_zero_warn(f"SLURM_JOB_ID = {job!r} is not the number of a job: not requeued")
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    except OSError as error:
        return rank_zero_warn(f"job {job} was saved but not requeued: scontrol: {error.strerror}")
    if done.returncode:
        rank_zero_warn(f"job {job} was saved but not requeued: {done.stderr.strip()}")
