"""``python -m benchmarks.object_store``: a cache on an S3 server that stalls, resets connections and fails.

Moto's server speaks the S3 protocol, s3fs is the client, and a proxy between them injects the faults. The cache must
hold the bytes of a local one, and training from it must end with the weights of training from the local one.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.command_line import main
from benchmarks.fault_harness import FaultError, differences
from benchmarks.fault_proxy import FaultProxy
from benchmarks.scenarios import chosen, run_scenarios
from vmae_zoo.datasets.synthetic.embedded import embedded_root

BUCKET = "s3://bucket/cache"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
STEPS = 12


class Store:
    """A bucket of a moto server behind a proxy.

    Args:
        work: folder for local files.
        port: of the server.
    """

    def __init__(self, work: Path, port: int):
        self.work, self.proxy = work, FaultProxy(port)
        self.environment = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": self.proxy.url}
        self.direct = {**self.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        self.source = embedded_root("demo_small")
        self.local = work / "cache"

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the command line with the bucket within reach."""
        command = [sys.executable, "-m", "vmae_zoo", *map(str, arguments)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, cwd=self.work)

    def check(self, *arguments: object) -> str:
        """What a command printed; `FaultError` if it fails."""
        done = self.command(*arguments)
        if done.returncode:
            raise FaultError(f"{arguments[0]}: exit code {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
        return done.stdout

    def training(self, name: str, root: object) -> list[str]:
        """The command of a small training in a folder of its own."""
        small = f"--trainer.max_epochs -1 --trainer.max_steps {STEPS} --checkpoint.every_n_steps 1 --data.workers 1"
        place = ("--data.root", str(root), "--trainer.default_root_dir", str(self.work / name))
        return ["fit", "-c", "recipes/videomae.yaml", "--data.memory_mb", "0", *small.split(), *place]

    def train(self, name: str, root: object) -> subprocess.CompletedProcess[str]:
        """A small training in a folder of its own."""
        return self.command(*self.training(name, root))

    def checkpoint(self, name: str) -> dict:
        """The last checkpoint of a training."""
        return torch.load(next((self.work / name).glob("runs/*/*/checkpoints/last.ckpt")), weights_only=True)

    def same_weights(self, name: str) -> None:
        """`FaultError` if a training differs from that on the local cache."""
        if not (self.work / "local").exists() and (done := self.train("local", self.local)).returncode:
            raise FaultError(f"training on a local cache failed: {done.stderr.splitlines()[-1]}")
        if found := list(differences(self.checkpoint(name), self.checkpoint("local"))):
            raise FaultError(f"{name} differs from training on a local cache: {', '.join(found[:3])}")


def write(store: Store) -> str:
    """Write the cache in two parts through a proxy with faults, and compare each object with the local file."""
    store.check("cache", store.source, store.local, "--per-shard", 4, "--workers", 1)
    faults = []
    for part, mode in enumerate(("error", "reset")):
        store.proxy.set(mode, every=7)
        store.check("cache", store.source, BUCKET, "--per-shard", 4, "--workers", 2, "--shard", f"{part}/2")
        faults.append(f"{store.proxy.faults} {mode}s")
        store.proxy.faults = 0
    store.proxy.set("serve")
    script = "import fsspec, sys; fsspec.filesystem('s3').get(sys.argv[1] + '/*', sys.argv[2])"
    (store.work / "copy").mkdir()
    subprocess.run([sys.executable, "-c", script, BUCKET, store.work / "copy"], env=store.direct, check=True)
    local, copy = ({file.name: file.read_bytes() for file in (store.work / n).iterdir()} for n in ("cache", "copy"))
    if local != copy:
        raise FaultError(f"objects differ from the local files: {sorted(dict(local.items() ^ copy.items()))[:3]}")
    return f"{len(copy)} objects equal the local files byte for byte, through {' and '.join(faults)}"


def train(store: Store) -> str:
    """Train from the bucket with an error, a reset or an answer that is cut off at every seventh request."""
    lines = []
    for mode in ("serve", "error", "reset", "cut"):
        store.proxy.set(mode, every=7)
        store.proxy.faults, begin = 0, time.monotonic()
        if (done := store.train(mode, BUCKET)).returncode:
            raise FaultError(f"{mode}: exit code {done.returncode}: {done.stderr.splitlines()[-1]}")
        store.same_weights(mode)
        lines.append(f"{mode} ({store.proxy.faults} faults, {time.monotonic() - begin:.0f} s)")
    return f"{STEPS} steps with the weights of a local cache, bit for bit: {', '.join(lines)}"


def stall(store: Store) -> str:
    """Train while every fortieth request is never answered."""
    store.proxy.set("stall", every=40)
    store.proxy.faults, begin = 0, time.monotonic()
    done = store.train("stall", BUCKET)
    store.proxy.set("serve")
    if done.returncode:
        raise FaultError(f"exit code {done.returncode}: {done.stderr.splitlines()[-1]}")
    store.same_weights("stall")
    return f"{store.proxy.faults} requests never answered: weights bit for bit, {time.monotonic() - begin:.0f} s"


def outage(store: Store) -> str:
    """Start a training and a cache while the store resets every connection, or never answers."""
    lines = []
    for mode in ("reset", "stall"):
        store.proxy.set(mode)
        commands = {
            "fit": partial(store.train, f"outage {mode}", BUCKET),
            "cache": partial(store.command, "cache", store.source, BUCKET, "--per-shard", 4, "--workers", 1),
        }
        for name, command in commands.items():
            begin = time.monotonic()
            done = command()
            last = done.stderr.strip().splitlines()[-1]
            if done.returncode != 1 or "Traceback" in done.stderr or not last.startswith("vmae-zoo: error: "):
                raise FaultError(f"{name} while the store does not answer ({mode}): {done.returncode}: {last}")
            lines.append(f"{mode}, {name}: {time.monotonic() - begin:.0f} s, {last.removeprefix('vmae-zoo: error: ')}")
    store.proxy.set("serve")
    return "one sentence each: " + " | ".join(re.sub(r"127\.0\.0\.1:\d+", "HOST", line) for line in lines)


def lost(store: Store) -> str:
    """Lose the store in the middle of a training, for 20 s; it must end with the weights of the local cache."""
    environment, log = store.environment, store.work / "lost.log"
    command = [sys.executable, "-m", "vmae_zoo", *store.training("lost", BUCKET)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=store.work) as process,
    ):
        while process.poll() is None and not list((store.work / "lost").glob("runs/*/*/checkpoints/last.ckpt")):
            time.sleep(0.1)
        store.proxy.set("reset")
        time.sleep(20)
        store.proxy.set("serve")
        code = process.wait()
    if code:
        raise FaultError(f"exit code {code}: {log.read_text().splitlines()[-1]}")
    store.same_weights("lost")
    return "connections reset for 20 s in the middle: weights bit for bit"


SCENARIOS = {scenario.__name__: scenario for scenario in (write, train, stall, lost, outage)}


@contextmanager
def serve(work: Path) -> Iterator[Store]:
    """A moto server with an empty bucket."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (work / "moto.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            store = Store(work, port)
            make = "import fsspec; fsspec.filesystem('s3').mkdir('bucket')"
            for _ in range(120):
                if not subprocess.run([sys.executable, "-c", make], env=store.direct, capture_output=True).returncode:
                    break
                time.sleep(0.5)
            else:
                raise FaultError("moto's server did not start: pip install 'moto[server]' s3fs")
            yield store
        finally:
            server.terminate()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}, in this order (default: all)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table to this file")
    parser.epilog = "example: pip install 'moto[server]' s3fs && python -m benchmarks.object_store"


def run(args: argparse.Namespace) -> int:
    """Run the scenarios and print a table; 1 if one fails."""
    names = chosen("scenario", args.scenarios, SCENARIOS)
    with tempfile.TemporaryDirectory(prefix="store-") as work, serve(Path(work)) as store:
        found = run_scenarios(names, lambda name: SCENARIOS[name](store))
    if args.json:
        versions = {name: version(name) for name in ("moto", "s3fs", "aiobotocore")}
        rows = [{"scenario": o.name, "state": o.state, "detail": o.detail, "seconds": o.seconds} for o in found]
        args.json.write_text(json.dumps({**versions, "scenarios": rows}, indent=2) + "\n")
    return int(any(outcome.state == "broken" for outcome in found))


if __name__ == "__main__":
    sys.exit(main("object_store", __doc__, configure, run))
