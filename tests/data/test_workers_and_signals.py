"""A signal to a whole group of processes (Ctrl-C, a scheduler) does not take the workers from the main one."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import gc
gc.disable()  # while modules are imported, here and again in the spawned worker
import signal, time
from types import SimpleNamespace
import torch
from vmae_zoo.data.loader import make_loader

class Slow(torch.utils.data.Dataset):
    def __len__(self):
        return 40
    def __getitem__(self, index):
        time.sleep(0.02)
        return torch.tensor([index])

if __name__ == "__main__":
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"):
        signal.signal(getattr(signal, name), lambda *_: None)
    trainer = SimpleNamespace(num_devices=1, strategy=SimpleNamespace(root_device=torch.device("cpu")))
    batches = [[index] for index in range(40)]
    for start, workers in (("fork", 2), ("spawn", 1)):  # each spawned one imports everything anew
        loader = make_loader(Slow(), batches, trainer, workers, 2, None, torch.stack)
        loader.multiprocessing_context = start
        for number, batch in enumerate(loader):
            if number == 2:
                print("reading", start, flush=True)
                time.sleep(1)
        print("all", number + 1, flush=True)
"""
SIGNALS = {"fork": ("SIGINT", "SIGUSR1", "SIGHUP", "SIGTERM"), "spawn": ("SIGINT", "SIGTERM")}
# a spawned loader has a process of Python's own beside it, which dies of the other two


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signals")
def test_workers_outlive_signals_to_the_group_and_end_with_the_main_process(tmp_path):
    script = tmp_path / "read.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    for start, signals in SIGNALS.items():
        assert process.stdout.readline() == f"reading {start}\n"
        for name in signals:
            os.killpg(process.pid, getattr(signal, name))
            time.sleep(0.05)
        assert process.stdout.readline() == "all 40\n"
    assert process.wait(120) == 0
    for _ in range(300):  # of a spawned loader, Python's own process ends last
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process is left")
