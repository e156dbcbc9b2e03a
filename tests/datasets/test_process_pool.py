"""A process pool ends at once, with all its workers."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

from vmae_zoo.datasets import process_pool

SCRIPT = """
import importlib.util, signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
spec = importlib.util.spec_from_file_location("pool", sys.argv[1])  # without the package, which takes seconds
pool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pool)

def work(number):
    time.sleep(0.5)
    return number

for _, future in pool.as_finished(work, ((number,) for number in range(40)), 2):
    print(future.result(), flush=True)
"""


def crash_at(number, crash):
    if number == crash:
        os._exit(1)
    return number


def test_jobs_are_taken_as_results_are_read():
    taken = []
    jobs = ((taken.append(number) or number, None) for number in range(100))
    finished = process_pool.as_finished(crash_at, jobs, 2)
    next(finished)
    assert len(taken) <= 2 * process_pool.AHEAD
    found = [future.result() for _, future in finished]
    assert len(found) == 99
    assert taken == list(range(100))


def test_a_crash_ends_the_jobs_that_were_taken_and_no_others_are():
    finished = list(process_pool.as_finished(crash_at, ((number, 30) for number in range(100_000)), 2))
    assert len(finished) < 100_000
    assert any(isinstance(future.exception(), BrokenProcessPool) for _, future in finished)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="process groups and /proc")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_worker_outlives_a_signal(name):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, process_pool.__file__],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    began = time.monotonic()
    process.send_signal(getattr(signal, name))
    assert process.wait(30) != 0
    for _ in range(50):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("a worker is left")
    assert time.monotonic() - began < 5  # all forty would take ten seconds
