"""Processes of one run as torchrun starts them, but forked from one that has imported everything already."""

import multiprocessing
import os
import runpy
import socket
import sys
from pathlib import Path

import torch
from benchmarks.fault_harness import PRELOAD
from lightning.fabric.utilities.rank_zero import rank_zero_only


def started(program: str | Path, *arguments: object, folder: Path, processes: int = 2, code: int = 0) -> str:
    """What the processes of a run printed; the test fails where one ends otherwise than expected.

    Args:
        program: a script's file, or the name of a module.
        arguments: of the program.
        folder: to run in.
        processes: how many; with one, nothing tells it that it is of several.
        code: that all are to end with.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    logs = [folder / f"log-{port}-{rank}.txt" for rank in range(processes)]
    running = []
    for rank, log in enumerate(logs):
        told = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": processes}
        told |= {"LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        told |= {"TORCHELASTIC_RUN_ID": port, "TORCHELASTIC_USE_AGENT_STORE": False}
        given = {name: str(value) for name, value in told.items()} if processes > 1 else {}
        running.append(context.Process(target=_run, args=(program, list(map(str, arguments)), folder, log, given)))
        running[-1].start()
    for process in running:
        process.join(300)
        if process.exitcode is None:
            process.kill()
    said = "\n".join(log.read_text() for log in logs)
    assert [process.exitcode for process in running] == [code] * processes, said[-6000:]
    return said


def _run(program: str | Path, arguments: list[str], folder: Path, log: Path, given: dict[str, str]) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(target, 1)
    os.dup2(target, 2)
    sys.stdout.reconfigure(line_buffering=True)  # in the order of what standard error says
    os.chdir(folder)
    os.environ.update(given)
    rank_zero_only.rank = int(given.get("RANK", 0))  # Lightning asks the environment when it is imported
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)
    sys.argv = [str(program), *arguments]
    sys.path.insert(0, str(folder))
    if isinstance(program, Path):
        runpy.run_path(str(program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__")
