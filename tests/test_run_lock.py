"""One process writes to a run folder; the lock of a dead one is taken over."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from vmae_zoo import run_lock
from vmae_zoo.run_lock import WRITER, RunLock, process_exists, read_writer

HOLD = """
import os, sys, time
from pathlib import Path
from vmae_zoo.run_lock import RunLock
RunLock(Path(sys.argv[1])).acquire()
child = os.fork() if sys.argv[2] == "with-child" else 1
print(os.getpid(), flush=True)
time.sleep(30 if child else 3)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds the lock of ``tmp_path``; it is killed at the end."""
    started = []

    def start(*, child=False):
        argument = "with-child" if child else "alone"
        process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path, argument], stdout=subprocess.PIPE, text=True)
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path, holder):
    first = holder()
    with pytest.raises(ValueError, match=f"in use by process {first.pid} on "):
        RunLock(tmp_path).acquire()
    assert read_writer(tmp_path).is_alive


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
@pytest.mark.parametrize("child", [False, True], ids=["alone", "its worker lives on"])
def test_the_lock_of_a_killed_process_is_taken_over_and_its_incomplete_file_removed(tmp_path, holder, child):
    first = holder(child=child)
    partial = tmp_path / "checkpoints" / ".last.ckpt.host.1.part"
    partial.parent.mkdir()
    partial.touch()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not read_writer(tmp_path).is_alive
    lock = RunLock(tmp_path)
    lock.acquire()
    assert read_writer(tmp_path).pid == os.getpid()
    assert not partial.exists()
    lock.release()
    assert read_writer(tmp_path) is None


@pytest.mark.slow
def test_another_machine_is_waited_for_until_its_heartbeat_stops_or_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "STALE_SECONDS", 1.5)
    file = tmp_path / WRITER
    file.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "2026-01-01T00:00:00+00:00"}))
    lines = []
    lock = RunLock(tmp_path, lines.append)
    lock.acquire()
    lock.release()
    assert "elsewhere" in lines[0]
    file.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "2026-01-01T00:00:00+00:00"}))
    beat = threading.Timer(0.3, lambda: os.utime(file))
    beat.start()
    with pytest.raises(ValueError, match="in use by process 1 on elsewhere"):
        RunLock(tmp_path, lines.append).acquire()
    assert file.exists()


def test_the_heartbeat_goes_on_while_the_lock_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "HEARTBEAT_SECONDS", 0.05)
    lock = RunLock(tmp_path)
    lock.acquire()
    before = (tmp_path / WRITER).stat().st_mtime_ns
    deadline = time.monotonic() + 20
    while (tmp_path / WRITER).stat().st_mtime_ns == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / WRITER).stat().st_mtime_ns > before
    lock.release()


def test_a_process_is_recognized():
    assert process_exists(os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert os.name != "posix" or not process_exists(ended.pid)
