"""Processes of one run with the environment of torchrun, forked from a process that has the imports."""

import gc
import multiprocessing
import os
import runpy
import socket
import sys
from pathlib import Path

import torch
from benchmarks.fault_harness import PRELOAD
from lightning.fabric.utilities.rank_zero import rank_zero_only


def started(
    program: str | Path, *arguments: object, folder: Path, processes: int = 2, code: int = 0, on_path: bool = True
) -> str:
    """Output of the processes of a run; an assertion fails unless all end with the expected exit code.

    Args:
        program: file of a script, or name of a module.
        arguments: arguments of the program.
        folder: working directory.
        processes: number of processes; a single one gets no variables of torchrun.
        code: expected exit code.
        on_path: put the folder on Python's path, as ``python`` does and an installed command does not.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    logs = [folder / f"log-{port}-{rank}.txt" for rank in range(processes)]
    running = []
    for rank, log in enumerate(logs):
        torchrun = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": processes}
        torchrun |= {"LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        torchrun |= {"TORCHELASTIC_RUN_ID": port, "TORCHELASTIC_USE_AGENT_STORE": False}
        environment = {name: str(value) for name, value in torchrun.items()} if processes > 1 else {}
        given = (program, list(map(str, arguments)), folder, log, environment, on_path)
        running.append(context.Process(target=_run, args=given))
        running[-1].start()
    for process in running:
        process.join(300)
        if process.exitcode is None:
            process.kill()
    output = "\n".join(log.read_text() for log in logs)
    assert [process.exitcode for process in running] == [code] * processes, output[-6000:]
    return output


def _run(
    program: str | Path, arguments: list[str], folder: Path, log: Path, environment: dict[str, str], on_path: bool
) -> None:
    gc.freeze()  # a collection would copy the memory that it shares with the server
    target = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(target, 1)
    os.dup2(target, 2)
    sys.stdout.reconfigure(line_buffering=True)  # in the order of standard error
    os.chdir(folder)
    os.environ.update(environment)
    rank_zero_only.rank = int(environment.get("RANK", 0))  # Lightning reads the variable at import
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)
    sys.argv = [str(program), *arguments]
    if on_path:
        sys.path.insert(0, str(folder))
    if isinstance(program, Path):
        runpy.run_path(str(program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__")
