"""A process pool ends at once, with all its workers."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vmae_zoo.datasets import process_pool

SCRIPT = """
import importlib.util, signal, sys, time
from concurrent.futures import as_completed

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
spec = importlib.util.spec_from_file_location("pool", sys.argv[1])  # without the package, which takes seconds
pool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pool)

def work(number):
    time.sleep(0.5)
    return number

with pool.file_workers(2) as workers:
    futures = [workers.submit(work, number) for number in range(40)]
    for future in as_completed(futures):
        print(future.result(), flush=True)
"""


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
