"""Where the time of a step goes: kernels by kind and by name, and the time in which the device is idle."""

import gzip
import json
import re
from typing import Any

from benchmarks.gpu_day.session import Session
from vmae_zoo.bench.candidates import BenchStep, Setting, build

KINDS = (  # the first match counts
    ("attention", r"flash|fmha|sdpa|attention|mha"),
    ("matrix product", r"gemm|nvjet|cutlass|xmma|cublas|splitk|matmul|addmm"),
    ("triton", r"triton"),
    ("adam", r"adam|multi_tensor_apply"),
    ("layer norm", r"layer_norm|LayerNorm|vectorized_layer|GammaBeta|cuComputeGrad"),
    ("copy", r"memcpy|memset|Memcpy|Memset"),
    ("reduce", r"reduce"),
    ("gather or scatter", r"index|gather|scatter|sort|Sort"),
    ("elementwise", r"elementwise|vectorized|CatArray|copy"),
)
RUNS = (  # method, compiled, clips, whether to keep the trace
    ("VideoMAE", False, 64, True),
    ("VideoMAE", True, 64, True),
    ("ARVideo", False, 64, False),
    ("MAEST", False, 64, False),
    ("MoCoV3", False, 16, False),
    ("Classifier", False, 16, False),
)
MAX_TRACE_BYTES = 15_000_000


def profile_steps(session: Session) -> None:
    """Profile VideoMAE eager and compiled, then the other methods."""
    for name, compiled, clips, keep in RUNS:
        if session.smoke and (compiled or name not in ("VideoMAE", "ARVideo")):
            continue
        if session.seconds_left() > 12:
            with session.guard("profile", label=name):
                batch = 1 if session.smoke else clips
                step = build(name, Setting(session.size, batch, session.device, session.precision, compiled))
                profile(session, step, f"{name}_{'compiled' if compiled else 'eager'}", keep)


def kind_of(name: str) -> str:
    """The kind of a kernel."""
    return next((kind for kind, pattern in KINDS if re.search(pattern, name)), "other")


def profile(session: Session, candidate: BenchStep, label: str, keep: bool) -> None:
    """Profile some steps of a candidate."""
    import torch.profiler

    activities = [torch.profiler.ProfilerActivity.CPU]
    if session.device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    steps = 1 if session.smoke else 3
    for _ in range(steps + 1):
        candidate.step()
    session.synchronize()
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(steps):
            candidate.step()
        session.synchronize()
    file = session.scratch / f"{label}.json"
    profiler.export_chrome_trace(str(file))
    trace = file.read_text()
    file.unlink()
    wanted = {"kernel", "gpu_memcpy", "gpu_memset"} if session.device == "cuda" else {"cpu_op"}
    events = [event for event in json.loads(trace)["traceEvents"] if event.get("ph") == "X"]
    work = sorted((event["ts"], event["dur"], event["name"]) for event in events if event.get("cat") in wanted)
    if not work:
        raise ValueError("the profiler recorded no events")
    summarize(session, work, label, steps)
    packed = session.out / f"trace_{label}.json.gz"
    if keep:
        packed.write_bytes(gzip.compress(trace.encode(), 6))
        if packed.stat().st_size > MAX_TRACE_BYTES:
            packed.unlink()


def summarize(session: Session, work: list[tuple[float, float, str]], label: str, steps: int) -> None:
    """Record time by kind of kernel; append the longest kernels to ``profile.txt``.

    Args:
        session: the step.
        work: (start, duration, name) of each event in microseconds, sorted.
        label: title.
        steps: number of profiled steps.
    """
    busy, begin, end = 0.0, work[0][0], work[0][0]
    kinds: dict[str, Any] = {}
    names: dict[str, Any] = {}
    for start, duration, name in work:
        busy += max(start + duration - max(start, end), 0)
        end = max(end, start + duration)
        for totals, key in ((kinds, kind_of(name)), (names, name)):
            count, total = totals.get(key, (0, 0.0))
            totals[key] = count + 1, total + duration
    whole = sum(total for _, total in kinds.values())
    by_time = sorted(kinds.items(), key=lambda item: -item[1][1])
    session.record(
        "profile",
        label=label,
        steps=steps,
        span_ms=(end - begin) / 1e3,
        busy_ms=busy / 1e3,
        idle_fraction=1 - busy / (end - begin),
        kernels=len(work),
        kinds={kind: [count, round(total / 1e3, 3), round(total / whole, 4)] for kind, (count, total) in by_time},
    )
    with (session.out / "profile.txt").open("a") as out:
        out.write(f"\n{label}: {(end - begin) / 1e3:.2f} ms, busy {busy / 1e3:.2f} ms, {len(work)} kernels\n")
        for name, (count, total) in sorted(names.items(), key=lambda item: -item[1][1])[:40]:
            out.write(f"{total / 1e3:9.3f} ms {total / whole:6.1%} x{count:<5} {kind_of(name):18} {name[:150]}\n")
