"""Loaders whose workers decode with one thread each, and know the indexes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing import resource_tracker
from typing import Any

import cv2
import torch
from lightning import Trainer
from torch.utils.data import DataLoader, Dataset, Sampler

from vmae_zoo.data.dataset import collate
from vmae_zoo.video.decode import IndexLookup, set_index_lookup


class SignalSafeLoader(DataLoader):
    """A loader whose workers start cleanly; its sampler knows its place, which Lightning would warn of not knowing."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the data module keeps the place."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to load."""

    def __iter__(self) -> Any:
        """Workers start with SIGTERM held back in all of their threads, also those that libraries start at import.

        OpenCV's threads end first: a forked worker that ends them itself waits for ever.
        """
        if not hasattr(signal, "sigwaitinfo"):
            return super().__iter__()
        context: Any = self.multiprocessing_context or multiprocessing
        if context.get_start_method() != "fork":
            resource_tracker.ensure_running()  # when it starts, it lets SIGTERM through again
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
    workers: int | None = None,
    prefetch: int = 2,
    pin_memory: bool | None = None,
    lookup: IndexLookup | None = None,
    collate: Callable[[Any], dict[str, Any]] = collate,
) -> DataLoader:
    """A loader of batches.

    Args:
        dataset: what the sampler's references are asked of.
        sampler: of batches.
        trainer: tells the processes of this machine, and whether they have GPUs.
        workers: processes that decode; None: one per core, shared among the processes of this machine.
        prefetch: batches that each worker prepares ahead.
        pin_memory: page-locked batches; None: when the trainer has a GPU.
        lookup: of the index, where there is one.
        collate: makes a batch of the samples.
    """
    if workers is None:
        workers = min(max(cores() // trainer.num_devices, 1), 16)
    return SignalSafeLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=trainer.strategy.root_device.type == "cuda" if pin_memory is None else pin_memory,
        worker_init_fn=partial(start_worker, lookup=lookup),
        prefetch_factor=prefetch if workers else None,
        persistent_workers=workers > 0,
    )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_worker(worker: int, lookup: IndexLookup | None = None) -> None:
    """What a worker begins with: signals to the group are not for it, and its frames are its own work."""
    _leave_signals_to_main()
    set_index_lookup(lookup)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _leave_signals_to_main() -> None:
    """Ctrl-C and schedulers signal the whole group of processes; the main one ends its workers when it has saved."""
    for name in ("SIGINT", "SIGUSR1", "SIGHUP"):  # Windows has the first
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # Linux: who sent it?
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_main_says, daemon=True).start()


def _end_when_main_says() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        continue
    os._exit(0)
