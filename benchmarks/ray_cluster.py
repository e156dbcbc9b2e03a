"""``python -m benchmarks.ray_cluster``: the documented lines for Ray on a local cluster of two nodes.

A worker is killed while it makes its part of a cache, and later a node is removed; the files must be those of a single
process.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.command_line import main
from benchmarks.documented_code import documented_code
from benchmarks.fault_harness import FaultError
from vmae_zoo.datasets.synthetic.embedded import embedded_root

PARTS = 4
PER_SHARD = 2  # videos


def make_cache(source: Path, work: Path) -> dict[str, Any]:
    """Make a cache by Ray while a worker and a node fail, and by one process; `FaultError` if they differ."""
    import ray
    from ray.cluster_utils import Cluster

    ours, theirs = work / "ray", work / "single"
    changes = {
        "/data/k400 s3://bucket/k400-jpeg --workers 16": f"{source} {ours} --workers 1 --per-shard {PER_SHARD}",
        "/64": f"/{PARTS}",
        "range(64)": f"range({PARTS})",
    }
    code = compile(documented_code("guides/scale_up.md", "@ray.remote", changes), "scale_up.md", "exec")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 16, "include_dashboard": False})
    other = cluster.add_node(num_cpus=16)
    ray.init(address=cluster.address, log_to_driver=False)
    errors: list[BaseException] = []

    def execute() -> None:
        try:
            exec(code, {"__name__": "documented"})
        except BaseException as error:
            errors.append(error)

    try:
        driver = threading.Thread(target=execute)
        driver.start()
        _kill_worker(ours, driver)
        _wait_for(ours, 12, driver)
        cluster.remove_node(other, allow_graceful=False)
        driver.join()
    finally:
        ray.shutdown()
        cluster.shutdown()
    if errors:
        raise FaultError(f"the documented lines failed: {errors[0]}")
    command = ("cache", source, theirs, "--workers", "1", "--per-shard", PER_SHARD)
    subprocess.run([sys.executable, "-m", "vmae_zoo", *map(str, command)], check=True, capture_output=True)
    files = {folder: {file.name: file.read_bytes() for file in folder.iterdir()} for folder in (ours, theirs)}
    if files[ours] != files[theirs]:
        raise FaultError(f"the caches differ: {sorted(dict(files[ours].items() ^ files[theirs].items()))[:3]}")
    return {"ray": ray.__version__, "parts": PARTS, "files": len(files[ours])}


def _kill_worker(target: Path, driver: threading.Thread) -> None:
    """Kill -9 a Ray worker and the command that it runs, while that makes its shards."""
    _wait_for(target, 4, driver)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        if b"cache" in arguments and str(target).encode() in arguments:
            for number in (parent, int(folder.name)):
                os.kill(number, signal.SIGKILL)
            return
    raise FaultError("no worker makes a part any more")


def _wait_for(target: Path, shards: int, driver: threading.Thread) -> None:
    while len(list(target.glob("shard-*.json"))) < shards:
        if not driver.is_alive():
            raise FaultError("the documented lines ended before a fault was injected")
        time.sleep(0.05)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to this file")
    parser.epilog = "example: pip install ray && python -m benchmarks.ray_cluster"


def run(args: argparse.Namespace) -> int:
    """Run the check and print the result; 1 if it fails."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of `vmae-zoo`
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ray-cache-") as work:
        try:
            result = make_cache(embedded_root("demo_small"), Path(work))
        except FaultError as error:
            print(f"broken: {error}")
            return 1
    result["seconds"] = round(time.monotonic() - begin)
    print(
        f"kept: {result['files']} files equal those of one process; a worker was killed and a node removed "
        f"({result['seconds']} s)"
    )
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main("ray_cluster", __doc__, configure, run))
