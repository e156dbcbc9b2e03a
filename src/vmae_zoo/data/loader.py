"""Data loaders whose workers decode with one thread each and leave signals to the main process."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from typing import Any

import cv2
import torch
from lightning import Trainer
from torch.utils.data import DataLoader, Dataset, Sampler


class SignalSafeLoader(DataLoader):
    """A loader whose workers start with SIGTERM blocked, and that Lightning takes for a resumable one."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **{"worker_init_fn": start_worker, **settings})

    def state_dict(self) -> dict[str, Any]:
        """Empty: the data module saves the position, and without this method Lightning warns."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Does nothing."""

    def __iter__(self) -> Any:
        """Start workers with SIGTERM blocked in all their threads, also in threads that libraries start at import.

        OpenCV's threads end before the fork: a forked worker that ends them itself waits forever.
        """
        if not hasattr(signal, "sigwaitinfo"):
            return super().__iter__()
        context: Any = self.multiprocessing_context or multiprocessing
        if context.get_start_method() != "fork":
            resource_tracker.ensure_running()  # it unblocks SIGTERM when it starts
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return super().__iter__()
        finally:
            cv2.setNumThreads(threads)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def make_loader(
    dataset: Dataset,
    sampler: Sampler,
    trainer: Trainer,
    workers: int | None,
    prefetch: int,
    pin_memory: bool | None,
    collate: Callable[[Any], Any],
) -> DataLoader:
    """A loader of batches.

    Args:
        dataset: takes the references that the sampler yields.
        sampler: yields the references of each batch.
        trainer: determines the number of processes on this machine and the device.
        workers: number of worker processes; None: one per core, shared among the processes on this machine.
        prefetch: batches that each worker prepares in advance.
        pin_memory: use page-locked memory; None: if the trainer uses a GPU.
        collate: makes a batch of samples.
    """
    if workers is None:
        workers = min(max(cores() // trainer.num_devices, 1), 16)
    return SignalSafeLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=trainer.strategy.root_device.type == "cuda" if pin_memory is None else pin_memory,
        prefetch_factor=prefetch if workers else None,
        persistent_workers=workers > 0,
    )


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_worker(worker: int) -> None:
    """Initialize a worker: ignore signals to the process group, and use one thread."""
    _ignore_group_signals()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _ignore_group_signals() -> None:
    """Ctrl-C and schedulers signal the whole process group; the main process ends its workers after it has saved."""
    for name in ("SIGINT", "SIGUSR1", "SIGHUP"):  # Windows has only the first
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # Linux; returns the sender of a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_on_sigterm_of_parent, daemon=True).start()


def _exit_on_sigterm_of_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        continue
    os._exit(0)
