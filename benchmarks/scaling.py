"""``python -m benchmarks.scaling``: time and cost of pre-training on 8, 64 or 512 GPUs, and the bottleneck.

A model, not a measurement: its numbers depend on the assumptions in `Cluster`, which are printed with them. The time
of a step is the maximum of computing and launching kernels, plus the part of the gradient reduction that does not
overlap with the backward pass. Loading is simulated: the loader workers of every GPU make whole batches, of videos with
different decoding times, and return them in order, as the DataLoader of PyTorch does; a step starts when the last GPU
has its batch.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command_line import main
from vmae_zoo.randomness import hash_text
from vmae_zoo.training.flops import PEAK_TFLOPS, flops_per_clip

PREFETCH = 2  # batches that a worker prepares ahead, the default of DataLoader
NODE = 8  # GPUs with fast links between them
SIMULATED_STEPS = 300  # the first third, while queues fill, does not count

METHODS = {"small": "VideoMAE", "base": "VideoMAE", "large": "VideoMAE", "huge": "VideoMAE", "giant": "VideoMAEv2"}
DATA = {"k400-1600": (240_436, 1600), "10m-100": (10_000_000, 100)}  # videos, effective epochs


@dataclass(frozen=True)
class Source:
    """How videos are stored: clips of 16 frames per second and core, MB read per clip, MB on disk per video."""

    rate: float
    read_mb: float
    disk_mb: float


SOURCES = {  # Kinetics-400 at short side 256, measured on a busy core: docs/measurements/decoding.md
    "found": Source(9.9, 0.77, 0.77),
    "reencoded": Source(48.9, 0.98, 0.98),
    "cached": Source(99.0, 0.37, 7.1),
}


@dataclass(frozen=True)
class Cluster:
    """Assumptions about the machines.

    Args:
        device: a key of `vmae_zoo.training.flops.PEAK_TFLOPS`.
        mfu: model FLOPs utilization while the GPU computes.
        cores: CPU cores per GPU.
        node_gbps: achieved GB/s between the GPUs of a node, each way.
        net_gbps: achieved GB/s of all links of a node to other nodes: 8 x 400 Gb/s at 80 %; 10 for 100 Gb Ethernet.
        storage_gbps: GB/s of the storage for all nodes together.
        launch_us: microseconds of the host per kernel.
        kernels: kernels per block and step, forward and backward.
        spread: standard deviation of a video's decoding time over its mean.
        price: of a GPU and its part of the host, per hour.
    """

    device: str = "H100"
    mfu: float = 0.25
    cores: int = 16
    node_gbps: float = 300.0
    net_gbps: float = 320.0
    storage_gbps: float = 50.0
    launch_us: float = 6.0
    kernels: int = 60
    spread: float = 0.8
    price: float = 2.5


@dataclass(frozen=True)
class Model:
    """The work of a step: FLOPs per clip, parameters, transformer blocks, clips per decoded video."""

    flops: float
    parameters: int
    blocks: int
    repeats: int


@cache
def model_of(size: str) -> Model:
    """The published pre-training of a size: VideoMAE; for the giant size V2 with four clips per video."""
    import torch

    from vmae_zoo.methods.registry import resolve_method

    with torch.device("meta"):
        method: Any = resolve_method(METHODS[size])(size=size)
    batch = {"video": torch.zeros(2, 3, *method.grid.pixels, dtype=torch.uint8, device="meta"), "key": torch.arange(2)}
    flops = flops_per_clip(method, batch)
    assert flops is not None
    blocks = len(method.encoder.blocks) + len(method.decoder.blocks)
    return Model(
        flops, sum(p.numel() for p in method.parameters()), blocks, repeats=4 if METHODS[size] == "VideoMAEv2" else 1
    )


def step_seconds(model: Model, cluster: Cluster, gpus: int, clips: int) -> dict[str, float]:
    """Seconds of a step with ``clips`` per GPU: compute, launch, network, and the exposed part of network."""
    compute = clips * model.flops / (cluster.mfu * PEAK_TFLOPS[cluster.device] * 1e12)
    launch = (model.blocks * cluster.kernels + 300) * cluster.launch_us / 1e6
    # a ring moves float32 gradients twice; FSDP moves as much: bf16 weights twice, float32 gradients once
    bytes_each_way = 8 * model.parameters * (gpus - 1) / gpus
    bandwidth = cluster.node_gbps if gpus <= NODE else min(cluster.node_gbps, cluster.net_gbps)
    network = bytes_each_way / (bandwidth * 1e9) + 20e-6 * math.log2(max(gpus, 2))
    exposed = max(0.0, network - 2 / 3 * compute)
    return {"compute": compute, "launch": launch, "network": network, "exposed": exposed}


def fed_seconds(step: float, cluster: Cluster, source: Source, gpus: int, videos: float) -> float:
    """Mean seconds between steps of duration ``step`` that wait for batches of ``videos``, by simulation."""
    random = np.random.default_rng(hash_text(f"{step} {source} {gpus} {videos}") & (2**63 - 1))
    workers, mean = cluster.cores, 1 / source.rate
    shape, scale = videos / cluster.spread**2, mean * cluster.spread**2
    free = np.zeros((workers, gpus))  # when each worker has finished its last batch
    starts = [0.0]  # of the steps: all GPUs wait for each other
    end = 0.0
    for number in range(SIMULATED_STEPS):
        worker = number % workers
        slot = starts[number - workers * PREFETCH + 1] if number >= workers * PREFETCH else 0.0
        ready = np.maximum(free[worker], slot) + random.gamma(shape, scale, gpus)
        free[worker] = ready
        start = max(end, float(ready.max()))
        starts.append(start)
        end = start + step
    warm = SIMULATED_STEPS // 3
    return (starts[-1] - starts[warm]) / (len(starts) - 1 - warm)


def plan(size: str, data: str, gpus: int, source_name: str, cluster: Cluster, global_batch: int) -> dict[str, Any]:
    """A row of the plan: speed, time, cost and bottlenecks."""
    model, source = model_of(size), SOURCES[source_name]
    if global_batch < gpus:
        raise ValueError(f"--global-batch {global_batch} is less than one clip per GPU ({gpus})")
    clips = global_batch // gpus
    parts = step_seconds(model, cluster, gpus, clips)
    computing = max(parts["compute"], parts["launch"])
    step = computing + parts["exposed"]
    fed = fed_seconds(step, cluster, source, gpus, clips / model.repeats)
    whole = max(fed, gpus * clips / model.repeats * source.read_mb / 1e3 / cluster.storage_gbps)
    waits = {
        "compute": parts["compute"],
        "launches": computing - parts["compute"],
        "network": parts["exposed"],
        "decoding": fed - step,
        "storage": whole - fed,
    }
    rate = clips * gpus / whole
    videos, epochs = DATA[data]
    hours = videos * epochs / rate / 3600
    return {
        "size": size,
        "data": data,
        "gpus": gpus,
        "source": source_name,
        "clips_per_gpu": clips,
        "step_ms": round(1e3 * whole, 1),
        "clips_per_second": round(rate),
        "share": {part: round(seconds / whole, 3) for part, seconds in waits.items()},
        "cores_needed": math.ceil(clips * gpus / step / model.repeats / source.rate),
        "cores_available": cluster.cores * gpus,
        "read_gb_per_second": round(rate / model.repeats * source.read_mb / 1e3, 2),
        "storage_tb": round(videos * source.disk_mb / 1e6, 2),
        "hours": round(hours, 1),
        "gpu_hours": round(hours * gpus),
        "cost": round(hours * gpus * cluster.price),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    columns = ["size", "data", "gpus", "source", "clips_per_second", "share", "cores_needed", "cores_available"]
    columns += ["read_gb_per_second", "storage_tb", "hours", "cost"]
    lines = ["| " + " | ".join(name.replace("_", " ") for name in columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in columns) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        shares = sorted(((share, part) for part, share in value.items() if share >= 0.05), reverse=True)
        return ", ".join(f"{part} {100 * share:.0f} %" for share, part in shares)
    return f"{value:,}" if isinstance(value, int) else str(value)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the runs to plan, then every assumption."""
    parser.add_argument("--sizes", nargs="+", choices=METHODS, default=["base", "large", "giant"], metavar="SIZE")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), metavar="DATA", help=", ".join(DATA))
    parser.add_argument("--gpus", nargs="+", type=int, default=[8, 64, 512], metavar="N", help="default: 8 64 512")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES), metavar="SOURCE")
    parser.add_argument("--global-batch", type=int, default=2048, metavar="N", help="clips per step (default 2048)")
    for name, value in asdict(Cluster()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default {value}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every number to this file")
    parser.epilog = "example: python -m benchmarks.scaling --sizes base --gpus 8 64 --mfu 0.2 --cores 24"


def run(args: argparse.Namespace) -> int:
    """Plan and print."""
    cluster = Cluster(**{name: getattr(args, name) for name in asdict(Cluster())})
    if cluster.device not in PEAK_TFLOPS:
        raise ValueError(f"--device {cluster.device} is not known: choose from {', '.join(PEAK_TFLOPS)}")
    rows = [
        plan(size, data, gpus, source, cluster, args.global_batch)
        for size in args.sizes
        for data in args.data
        for gpus in args.gpus
        for source in args.sources
    ]
    print(f"assumptions: {', '.join(f'{name} {value}' for name, value in asdict(cluster).items())}")
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps({"assumptions": asdict(cluster), "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main("scaling", __doc__, configure, run))
