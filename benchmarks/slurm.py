"""``python -m benchmarks.slurm``: the job scripts of the documentation under a real SLURM on this machine.

``requeue``: a training of two nodes is stopped by SLURM's signal before the time limit and requeues itself, then is
requeued by an administrator; it must end in one run folder with the weights, moments and position of an undisturbed
job, bit for bit. ``array``: a job array makes a cache, one task is requeued while it works; the files must be those of
a single process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import torch

from benchmarks.command_line import main
from benchmarks.documented_code import documented_code
from benchmarks.fault_harness import FaultError, differences
from benchmarks.scenarios import chosen, run_scenarios
from benchmarks.slurm_cluster import SlurmCluster
from vmae_zoo.datasets.synthetic.embedded import embedded_root

GUIDE = "guides/scale_up.md"
LIMIT = "--time=00:03:00 "
TASKS = 4  # of the job array


def requeue(cluster: SlurmCluster, work: Path, steps: int) -> str:
    """Interrupt a job of two nodes twice and compare it with an undisturbed one."""
    small = f"--trainer.max_steps {steps} --trainer.max_epochs -1 --trainer.check_val_every_n_epoch 1000"
    changes = {
        "--ntasks-per-node=8 --gpus-per-node=8 --cpus-per-task=16 --time=24:00:00": f"--ntasks-per-node=1 {LIMIT}",
        "SIGUSR1@120": "SIGUSR1@60",
        "recipes/paper/videomae_base.k400-800.yaml": f"recipes/videomae.yaml {small} --checkpoint.every_n_steps 50",
        "--data.root /data/kinetics400": "--data.batch_size 16 --data.memory_mb 0 --data.workers 1",
        "--trainer recipes/trainer/slurm.yaml": "--trainer recipes/trainer/slurm.yaml --trainer.accelerator cpu "
        "--trainer.precision 32-true --trainer.devices 1",
    }
    script = documented_code(GUIDE, "#SBATCH --nodes=2", changes)
    cut, whole = work / "interrupted", work / "undisturbed"
    job = cluster.submit(cut, script)
    cluster.wait_for(job, "RUNNING")
    if cluster.wait_for(job, "PENDING", "COMPLETED") == "COMPLETED":
        raise FaultError(f"all {steps} steps were done before SLURM's signal: give more --steps")
    first = _step(cut)
    other = cluster.submit(whole, script.replace(LIMIT, ""))
    cluster.wait_for(other, "COMPLETED")
    _start_now(cluster, job)
    before = _last(cut).stat().st_mtime_ns
    cluster.wait(lambda: _last(cut).stat().st_mtime_ns != before, "checkpoint after the first restart")
    cluster.run("scontrol", "requeue", job)
    cluster.wait_for(job, "PENDING")
    second = _step(cut)
    while cluster.wait_for(job, "PENDING", "COMPLETED") != "COMPLETED":  # SLURM may stop it before the limit again
        _start_now(cluster, job)
    runs = list((cut / "runs/videomae").iterdir())
    if len(runs) != 1:
        raise FaultError(f"{len(runs)} run folders instead of one")
    found = list(differences(*(torch.load(_last(folder), weights_only=True) for folder in (cut, whole))))
    if found:
        raise FaultError(f"differs from the undisturbed job: {', '.join(found[:3])}")
    return (
        f"SIGUSR1 before the limit at step {first}, requeued by an administrator at step {second}, "
        f"{_restarts(cluster, job)} restarts: step {_step(cut)} bit for bit as undisturbed, in one run folder"
    )


def array(cluster: SlurmCluster, work: Path, steps: int) -> str:
    """Make a cache by a job array, one task of which is requeued, and by one process."""
    source, ours, theirs = embedded_root("demo_small"), work / "array/cache", work / "single/cache"
    changes = {
        "0-63 --cpus-per-task=16": f"0-{TASKS - 1} --requeue --open-mode=append",
        "/data/k400 s3://bucket/k400-jpeg --workers 16": f"{source} {ours} --workers 1 --per-shard 4",
        "/64": f"/{TASKS}",
    }
    job = cluster.submit(work / "array", documented_code(GUIDE, "#SBATCH --array", changes))
    cluster.wait_for(f"{job}_0", "RUNNING")
    cluster.wait(lambda: any(ours.glob("*.tar")), "first shard")
    cluster.run("scontrol", "requeue", f"{job}_0")
    cluster.wait(lambda: "PENDING" in cluster.state(f"{job}_0"), "requeued task")
    _start_now(cluster, f"{job}_0")
    cluster.wait(lambda: cluster.state(job) == "COMPLETED", "end of the array")
    arguments = ("cache", source, theirs, "--workers", "1", "--per-shard", "4")
    (work / "single").mkdir()
    subprocess.run([sys.executable, "-m", "vmae_zoo", *map(str, arguments)], check=True, capture_output=True)
    files = {folder: {file.name: file.read_bytes() for file in folder.iterdir()} for folder in (ours, theirs)}
    if files[ours] != files[theirs]:
        raise FaultError(f"the caches differ in {set(files[ours].items()) ^ set(files[theirs].items())}")
    return f"{TASKS} tasks, one requeued while it worked: {len(files[ours])} files equal those of one process"


SCENARIOS = {"requeue": requeue, "array": array}


def _start_now(cluster: SlurmCluster, job: str) -> None:
    """Start a requeued job without the two minutes that SLURM waits."""
    with suppress(FaultError):  # it has started by itself
        cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")


def _last(folder: Path) -> Path:
    found = list(folder.glob("runs/*/*/checkpoints/last.ckpt"))
    if not found:
        raise FaultError(f"no checkpoint below {folder}")
    return found[0]


def _step(folder: Path) -> int:
    return torch.load(_last(folder), weights_only=True)["global_step"]


def _restarts(cluster: SlurmCluster, job: str) -> str:
    return cluster.run("scontrol", "-o", "show", "job", job).partition(" Restarts=")[2].partition(" ")[0]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--steps", type=int, default=1500, help="of the training (default: 1500)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder that keeps logs and runs (default: none)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table to this file")
    parser.epilog = "example: apt-get install slurm-wlm munge && python -m benchmarks.slurm array"


def run(args: argparse.Namespace) -> int:
    """Run the scenarios and print a table; 1 if one fails."""
    names = chosen("scenario", args.scenarios, SCENARIOS)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of `vmae-zoo`
    with tempfile.TemporaryDirectory(prefix="slurm-") as temporary:
        work = (args.work or Path(temporary)).absolute()
        with SlurmCluster(work / "cluster") as cluster:
            version = cluster.run("sinfo", "--version").strip()
            found = run_scenarios(names, lambda name: SCENARIOS[name](cluster, work / name, args.steps))
    if args.json:
        rows = [{"scenario": o.name, "state": o.state, "detail": o.detail, "seconds": o.seconds} for o in found]
        args.json.write_text(json.dumps({"slurm": version, "steps": args.steps, "scenarios": rows}, indent=2) + "\n")
    return int(any(outcome.state == "broken" for outcome in found))


if __name__ == "__main__":
    sys.exit(main("slurm", __doc__, configure, run))
