"""The folder of a run while this process writes into it: locked, and as it was before if the run does not begin."""

import os
import shutil
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from vmae_zoo.cli.run_folders import new_run, unwritable
from vmae_zoo.run_lock import RunLock

EVENTS = "events.out.tfevents.*"  # of TensorBoard; then the number of the process


class FolderGuard(ExitStack):
    """A context at whose end the lock of a run folder is released, and what a run that did not begin wrote is removed.

    Args:
        began: whether the run has begun to train.
    """

    def __init__(self, began: Callable[[], bool]):
        super().__init__()
        self.began = began

    @rank_zero_only
    def lock(self, folder: Path) -> None:
        """Lock an existing folder; ``ValueError`` if another process writes into it, or it cannot be written."""
        lock = RunLock(folder)
        self.callback(lock.release)
        try:
            lock.acquire()
        except OSError as error:
            raise ValueError(unwritable(folder, error)) from error
        self.callback(self._remove_events, folder, set(folder.glob(EVENTS)))

    @rank_zero_only
    def create(self, root: Path, recipe: str) -> Path:
        """A new and locked folder of a run, below ``root/recipe``."""
        folder = new_run(root, recipe)
        self.callback(self._remove, folder)
        self.lock(folder)
        return folder

    def _remove_events(self, folder: Path, before: Collection[Path]) -> None:
        """Remove the event files of this process: other programs may have written into an old folder too."""
        if not self.began():
            for file in set(folder.glob(f"{EVENTS}.{os.getpid()}.*")).difference(before):
                file.unlink(missing_ok=True)

    def _remove(self, folder: Path) -> None:
        """Remove a new folder, and ``runs/<recipe>`` and ``runs`` if they are empty."""
        if self.began():
            return
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # not empty
            for parent in folder.parents[:2]:
                parent.rmdir()
