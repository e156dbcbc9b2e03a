"""``vmae-zoo bench train``: the cost of a training step, paired with the VideoMAE and V-JEPA 2 of transformers.

First each candidate does a step in a separate process, which measures its memory (`vmae_zoo.bench.step_memory`). Then
rounds time each candidate once, in turn, so that other load on the machine slows all of them; ratios are of the same
round. A candidate that is much slower than the first one is timed once, before the rounds.

On a GPU the time is split: ``data`` is the copy of a batch from pinned memory, which overlaps with the previous step
during training; ``host`` is the time until Python has launched all kernels of a step. If it is close to the whole, the
GPU waits for Python.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from typing import Any, NamedTuple

from vmae_zoo.methods.registry import CLASS_NAMES
from vmae_zoo.setting_checks import check_least

NAMES = (*CLASS_NAMES, "transformers-sdpa", "transformers-eager", "transformers-vjepa2")
SLOW = 4  # times the first candidate's time per clip


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "candidates",
        nargs="*",
        default=["VideoMAE", "transformers-sdpa", "transformers-eager"],
        metavar="NAME",
        help=f"of {', '.join(NAMES)}; ratios are relative to the first",
    )
    parser.add_argument("--size", default="base", help="tiny, small, base, large, huge or giant (default: base)")
    parser.add_argument("--batch", type=int, default=2, help="clips per step (default: 2)")
    parser.add_argument("--rounds", type=int, default=10, help="timed steps of each candidate (default: 10)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda if there is a GPU")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="default: bfloat16 on cuda, else float32")
    parser.add_argument("--compile", action="store_true", help="compile our blocks")
    parser.add_argument("--measure-memory", choices=NAMES, help=argparse.SUPPRESS)
    parser.epilog = "example: vmae-zoo bench train VideoMAE transformers-sdpa transformers-eager --size base --batch 2"


def run(args: argparse.Namespace) -> dict[str, Any] | None:
    """Time the candidates and print a table; returns its numbers."""
    check_least("--", 1, batch=args.batch, rounds=args.rounds)
    import torch

    from vmae_zoo.bench.candidates import Setting
    from vmae_zoo.bench.step_memory import measure

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    precision = args.precision or ("bfloat16" if device == "cuda" else "float32")
    setting = Setting(args.size, args.batch, device, precision, args.compile)
    if args.measure_memory:
        print(json.dumps(measure(args.measure_memory, setting)))
        return None
    unknown = [name for name in args.candidates if name not in NAMES]
    if unknown:
        raise ValueError(f"candidate {unknown[0]!r} is not known: choose from {', '.join(NAMES)}")
    result = compare(args.candidates, setting, args.rounds)
    print(table(result))
    return result


def compare(names: list[str], setting: Any, rounds: int) -> dict[str, Any]:
    """Times, ratios, FLOPs and memory of some candidates."""
    import torch

    from vmae_zoo.bench.candidates import build
    from vmae_zoo.bench.step_memory import measure_in_subprocess
    from vmae_zoo.training.flops import flops_per_clip, peak_flops

    settings = {name: setting.for_candidate(name) for name in names}
    memory = {}
    for name in names:
        _progress(f"memory of {name}")
        memory[name] = measure_in_subprocess(name, settings[name])
    candidates, flops = {}, {}
    for name in names:
        _progress(f"building {name}")
        candidates[name] = candidate = build(name, settings[name])
        flops[name] = flops_per_clip(candidate.model, candidate.batch) if name in CLASS_NAMES else None
        candidate.step()
    warm = {name: timed(candidate) for name, candidate in candidates.items()}
    for name in names:
        if warm[name].step / settings[name].batch > SLOW * warm[names[0]].step / setting.batch:
            del candidates[name]
    seconds: dict[str, list[Seconds]] = {name: [] for name in candidates}
    for number in range(rounds):
        _progress(f"round {number + 1}/{rounds}")
        for name, candidate in candidates.items():
            seconds[name].append(timed(candidate))
    _progress("")
    on_gpu = setting.device == "cuda"
    peak = peak_flops(torch.cuda.get_device_name()) if on_gpu else None
    rows = []
    for name in names:
        batch, found = settings[name].batch, seconds.get(name, [warm[name]])
        firsts = seconds[names[0]] if name in seconds else [warm[names[0]]]
        ratios = [(one.step / batch) / (first.step / setting.batch) for one, first in zip(found, firsts, strict=True)]
        times = [one.step for one in found]
        middle, flop = statistics.median(times), flops[name]
        rows.append(
            {
                "name": name,
                "clips": batch,
                "steps": len(times),
                "ms": round(1e3 * middle, 2),
                "ms_spread": [round(1e3 * min(times), 2), round(1e3 * max(times), 2)],
                "data_ms": round(1e3 * statistics.median(one.data for one in found), 2) if on_gpu else None,
                "host_ms": round(1e3 * statistics.median(one.host for one in found), 2) if on_gpu else None,
                "clips_per_second": round(batch / middle, 3),
                "ratio": round(statistics.median(ratios), 3),
                "ratio_interval": interval(ratios),
                "gflop_per_clip": None if flop is None else round(flop / 1e9, 1),
                "tflop_per_second": None if flop is None else round(flop * batch / middle / 1e12, 3),
                "mfu": None if flop is None or peak is None else round(flop * batch / middle / peak, 4),
                "peak_mb": memory[name]["mb"],
                "activations_mb": memory[name]["mb_beside_weights"],
            }
        )
    machine = torch.cuda.get_device_name() if on_gpu else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    return {"machine": machine, "torch": torch.__version__, **setting.__dict__, "rounds": rounds, "rows": rows}


class Seconds(NamedTuple):
    """Seconds of a step and of its parts, see the module."""

    data: float
    host: float
    step: float


def timed(candidate: Any) -> Seconds:
    """Copy the batch, then do one step, and wait for the device."""
    import torch

    def now() -> float:
        if candidate.setting.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    start = now()
    candidate.copy_to_device()
    moved = now()
    candidate.step()
    launched = time.perf_counter()
    return Seconds(moved - start, launched - moved, now() - moved)


def interval(values: list[float]) -> list[float]:
    """A 95 % interval of the median by order statistics: of ten values, the second and the ninth."""
    cut = max(int(0.5 * len(values) - 0.98 * len(values) ** 0.5), 0)
    ordered = sorted(values)
    return [round(ordered[cut], 3), round(ordered[-1 - cut], 3)]


def table(result: dict[str, Any]) -> str:
    """The result as a table."""
    head = f"{result['size']}, {result['batch']} clips a step, {result['precision']}, {result['machine']}"
    lines = [
        f"{head}, {result['rounds']} rounds",
        f"{'':22}{'ms (min-max)':>26}{'data ms':>9}{'host ms':>9}{'clips/s':>10}{'a clip/first (95 %)':>24}"
        f"{'TFLOP/s':>9}{'MFU':>7}{'peak MB':>9}{'of it activations':>19}",
    ]
    split = ("data_ms", ".1f", 9), ("host_ms", ".1f", 9)
    cells = ("tflop_per_second", ".2f", 9), ("mfu", ".1%", 7), ("peak_mb", ".0f", 9), ("activations_mb", ".0f", 19)
    for row in result["rows"]:
        once = row["steps"] == 1
        spread = f"{row['ms']:.0f} " + ("(once)" if once else f"({row['ms_spread'][0]:.0f}-{row['ms_spread'][1]:.0f})")
        ratio = f"{row['ratio']:.2f}" + ("" if once else " ({:.2f}-{:.2f})".format(*row["ratio_interval"]))
        parts, rest = ("".join(_cell(row[key], form, width) for key, form, width in some) for some in (split, cells))
        name = row["name"] if row["clips"] == result["batch"] else f"{row['name']} ({row['clips']} clips)"
        lines.append(f"{name:22}{spread:>26}{parts}{row['clips_per_second']:>10.2f}{ratio:>24}{rest}")
    return "\n".join(lines)


def _cell(value: float | None, form: str, width: int) -> str:
    return ("-" if value is None else format(value, form)).rjust(width)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<40}", end="" if text else "\r", file=sys.stderr, flush=True)
