"""Work on many files in several processes."""

import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

PR_SET_PDEATHSIG = 1  # of Linux's prctl
CRASHED = "a process crashed while it decoded a video: run `vmae-zoo index` on the source to find the video"
AHEAD = 4  # jobs that a process has or waits for

Result = TypeVar("Result")


def as_finished(
    function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], workers: int
) -> Iterator[tuple[tuple[Any, ...], Future[Result]]]:
    """Run ``function(*job)`` for each job in ``workers`` processes; yields jobs and their futures as they finish.

    Few jobs are taken ahead, and results are not kept, so the memory does not grow with the number of jobs. After a
    crash of a process, the futures of the jobs that were taken raise `BrokenProcessPool`, and no others are taken.
    """
    left, running = iter(jobs), dict[Future[Result], tuple[Any, ...]]()
    with file_workers(workers) as pool:
        while True:
            try:
                for job in islice(left, AHEAD * workers - len(running)):
                    running[pool.submit(function, *job)] = job
            except BrokenProcessPool:
                if not running:  # while it was idle
                    raise
                left = iter(())
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                if isinstance(future.exception(), BrokenProcessPool):
                    left = iter(())
                yield running.pop(future), future


@contextmanager
def file_workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``count`` processes; after Ctrl-C or an error, running tasks finish and no others start."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(count, context, initializer=_start_worker)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _start_worker() -> None:
    """Leave Ctrl-C to the main process; on Linux, end when the main process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
