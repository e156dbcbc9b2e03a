"""One process writes to a run folder at a time.

The lock is one of the operating system, which releases it when its process ends, also by ``kill -9``. File systems
that share it between machines are not everywhere, so its holder also writes ``writer.json`` with host, process and a
heartbeat (the time of the file), which shows on any machine whether a run is alive.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from vmae_zoo.atomic_write import SUFFIX

LOCK, WRITER = ".writer.lock", "writer.json"
HEARTBEAT_SECONDS = 20.0
STALE_SECONDS = 3 * HEARTBEAT_SECONDS
ORPHAN_SECONDS = 15.0  # in which data workers of a killed process end, which may have inherited its lock


@dataclass(frozen=True)
class Writer:
    """The process that writes, or wrote last, to a run folder.

    ``since`` is the start of its work, UTC; ``silent_seconds`` passed since its last heartbeat, by the clock of the
    file system.
    """

    host: str
    pid: int
    since: str
    silent_seconds: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    @property
    def is_alive(self) -> bool:
        """Whether it still runs, as far as this machine can know."""
        if self.silent_seconds > STALE_SECONDS:
            return False
        return self.host != platform.node() or process_exists(self.pid)


def read_writer(folder: Path) -> Writer | None:
    """The writer of a run folder; None if the last one exited cleanly."""
    try:
        keys = json.loads((folder / WRITER).read_text())
        silent = time.time() - (folder / WRITER).stat().st_mtime
        return Writer(str(keys["host"]), int(keys["pid"]), str(keys["since"]), silent)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def process_exists(pid: int) -> bool:
    """Whether a process of this number runs on this machine; True where that cannot be asked."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class RunLock:
    """Exclusive lock on an existing run folder; ``notify`` is called with a line if it has to be waited for."""

    def __init__(self, folder: Path, notify: Callable[[str], None] = print):
        self.folder, self.notify = folder, notify
        self._lock = FileLock(folder / LOCK)
        self._ended = threading.Event()

    def acquire(self) -> None:
        """Become the writer; take over from a process that has died, and remove its incomplete files.

        Raises:
            ValueError: another process writes to the folder.
        """
        self._acquire_system_lock()
        try:
            self._check_other_host()
        except ValueError:
            self._lock.release()
            raise
        for partial in self.folder.rglob(f".*{SUFFIX}"):
            partial.unlink(missing_ok=True)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        writer = {"host": platform.node(), "pid": os.getpid(), "since": since}
        (self.folder / WRITER).write_text(json.dumps(writer) + "\n")
        threading.Thread(target=self._beat, daemon=True, name="heartbeat of the run").start()

    def release(self) -> None:
        """Release the lock."""
        self._ended.set()
        if self._lock.is_locked:
            (self.folder / WRITER).unlink(missing_ok=True)
            self._lock.release()

    def _acquire_system_lock(self) -> None:
        deadline = time.monotonic() + ORPHAN_SECONDS
        while True:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                writer = read_writer(self.folder)
                if writer is None or writer.is_alive or time.monotonic() > deadline:
                    raise self._refusal(writer) from None
                time.sleep(0.5)
            else:
                return

    def _check_other_host(self) -> None:
        """Wait until the heartbeat of a writer on another machine goes on, which is refused, or has stopped."""
        writer = read_writer(self.folder)
        if writer is None or writer.host == platform.node():
            return  # on this machine the lock itself shows that it has ended
        if writer.silent_seconds > STALE_SECONDS:
            return
        self.notify(f"{self.folder}: waiting up to {STALE_SECONDS:.0f} s for a heartbeat of {writer}")
        file, deadline = self.folder / WRITER, time.monotonic() + STALE_SECONDS
        first = file.stat().st_mtime_ns
        while time.monotonic() < deadline:
            time.sleep(1)
            if file.is_file() and file.stat().st_mtime_ns != first:
                raise self._refusal(writer)

    def _refusal(self, writer: Writer | None) -> ValueError:
        return ValueError(
            f"{self.folder} is in use by {writer or 'another process'}: wait for its end or stop it, or start another "
            "run without --ckpt_path"
        )

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                os.utime(self.folder / WRITER)
            except OSError:  # a full disk, or the folder was removed
                continue
