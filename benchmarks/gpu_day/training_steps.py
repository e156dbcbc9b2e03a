"""Times of training steps: every method, several batches, eager and compiled, beside transformers."""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks.gpu_day.session import PEAK_FLOPS, Session
from vmae_zoo.bench.candidates import BenchStep, Setting, build
from vmae_zoo.bench.train import timed
from vmae_zoo.methods.registry import CLASS_NAMES
from vmae_zoo.training.flops import flops_per_clip

BATCHES = {  # the most important first
    "VideoMAE": (64, 128, 256),
    "transformers-sdpa": (64, 128),
    "VideoMAEv2": (64, 128, 256),
    "ARVideo": (64, 128),
    "MAEST": (64, 128),
    "MoCoV3": (16, 32),
    "Classifier": (16, 32, 64),
    "MGMAE": (64, 128),
    "MAE": (256, 1024),
}
SMOKE_BATCHES = {"VideoMAE": (1, 2), "MAE": (1,), "transformers-sdpa": (1,)}
FLOPS: dict[tuple[str, str], float | None] = {}  # per clip, by method and size
COMPILED = ("VideoMAE", "transformers-sdpa", "VideoMAEv2", "ARVideo", "MAEST", "Classifier", "MoCoV3", "MGMAE")


def batches_of(session: Session) -> dict[str, tuple[int, ...]]:
    """Batch sizes by candidate."""
    return SMOKE_BATCHES if session.smoke else BATCHES


def bench_eager(session: Session) -> None:
    """Every candidate in eager mode."""
    for name, batches in batches_of(session).items():
        if session.seconds_left() < 12:
            session.record("left_out", method=name)
            continue
        sweep(session, name, batches)


def bench_compiled(session: Session) -> None:
    """Every candidate compiled, with one batch size; the first step includes compilation."""
    for name in COMPILED:
        if name not in batches_of(session):
            continue
        ours = not name.startswith("transformers")
        if session.seconds_left() < (25 if ours else 60):
            session.record("left_out", method=name)
            continue
        sweep(session, name, batches_of(session)[name][:1], compiled=True)


def bench_more_compiled(session: Session) -> None:
    """The other batch sizes compiled."""
    for name in ("VideoMAE", "VideoMAEv2", "ARVideo"):
        if name in batches_of(session) and session.seconds_left() > 25:
            sweep(session, name, batches_of(session)[name][1:], compiled=True)


def bench_large(session: Session) -> None:
    """ViT-L and ViT-g."""
    plan = [
        ("VideoMAE", (64,), "large", False),
        ("VideoMAE", (64,), "large", True),
        ("VideoMAEv2", (64,), "large", False),
        ("VideoMAEv2", (16,), "giant", False),
    ]
    for name, batches, size, compiled in [("VideoMAE", (1,), "small", False)] if session.smoke else plan:
        if session.seconds_left() > 20:
            sweep(session, name, batches, size, compiled, rounds=5)


def bench_command(session: Session) -> None:
    """``vmae-zoo bench train`` itself, which measures memory in separate processes."""
    names = ["VideoMAE"] if session.smoke else ["VideoMAE", "transformers-sdpa"]
    command = [sys.executable, "-m", "vmae_zoo", "bench", "train", *names, "--size", session.size]
    command += ["--batch", "1" if session.smoke else "64", "--rounds", "1" if session.smoke else "10"]
    command += ["--device", session.device, "--json", str(session.out / "bench_command.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout[-3000:], done.stderr[-2000:])
    session.record("bench_command", rc=done.returncode, error=done.stderr[-400:] if done.returncode else None)


def sweep(
    session: Session,
    name: str,
    batches: Sequence[int],
    size: str = "",
    compiled: bool = False,
    rounds: int = 10,
) -> None:
    """Measure a candidate with several batch sizes."""
    size, candidate = size or session.size, None
    with session.guard("step", method=name, size=size, compiled=compiled, batch=batches[0]):
        start = time.perf_counter()
        candidate = build(name, Setting(size, batches[0], session.device, session.precision, compiled))
        if compiled and name.startswith("transformers"):
            compile_layers(candidate)
        measure(session, candidate, name, rounds, build_s=round(time.perf_counter() - start, 1))
    for batch in batches[1:]:
        if candidate is None or session.seconds_left() < 8:
            return
        with session.guard("step", method=name, size=size, compiled=compiled, batch=batch):
            candidate.optimizer.zero_grad()
            set_batch(candidate, batch)
            session.free()
            measure(session, candidate, name, rounds)


def compile_layers(candidate: BenchStep) -> None:
    """Compile each layer of transformers' model, as ours compiles its blocks."""
    for module in candidate.model.modules():
        if type(module).__name__ == "VideoMAELayer":
            module.compile()


def set_batch(candidate: BenchStep, batch: int) -> None:
    """Replace the batch of a candidate by one of another size; its loss reads the dictionary."""
    candidate.setting = replace(candidate.setting, batch=batch)
    device = candidate.setting.device
    for name, values in list(candidate.batch.items()):
        shape = (batch, *values.shape[1:])
        if values.dtype == torch.uint8:
            new = torch.empty(shape, dtype=torch.uint8, device=device).random_(0, 256)
        elif name == "key":
            new = torch.arange(batch, device=device)
        elif values.is_floating_point():
            new = torch.rand(shape, device=device)
        else:
            new = torch.zeros(shape, dtype=values.dtype, device=device)
        candidate.batch[name] = new
        if candidate.pinned:
            candidate.pinned[name] = new.cpu().pin_memory()


def measure(session: Session, candidate: BenchStep, name: str, rounds: int = 10, **more: Any) -> None:
    """Time synchronized steps, as `bench train` does, and steps back to back, as training runs them."""
    setting, rounds = candidate.setting, 1 if session.smoke else rounds
    start = time.perf_counter()
    candidate.step()
    session.synchronize()
    first = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(0 if session.smoke else 3):
        candidate.step()
    session.synchronize()
    if time.perf_counter() - start > 0.6:
        rounds = min(rounds, 5)
    if session.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = [timed(candidate) for _ in range(rounds)]
    peak = session.peak_memory()
    back_to_back = session.median_ms(candidate.step, rounds, 0)

    def with_copy() -> None:
        candidate.copy_to_device()
        candidate.step()

    step = statistics.median(each.step for each in seconds)
    flops = flops_of(candidate) if name in CLASS_NAMES else None
    session.record(
        "step",
        method=name,
        size=setting.size,
        batch=setting.batch,
        compiled=setting.compile,
        rounds=rounds,
        ms=1e3 * step,
        ms_min=1e3 * min(each.step for each in seconds),
        ms_max=1e3 * max(each.step for each in seconds),
        data_ms=1e3 * statistics.median(each.data for each in seconds),
        host_ms=1e3 * statistics.median(each.host for each in seconds),
        ms_back_to_back=back_to_back,
        ms_back_to_back_with_data=session.median_ms(with_copy, rounds, 0),
        clips_per_second=setting.batch / step,
        clips_per_second_back_to_back=1e3 * setting.batch / back_to_back,
        gflop_per_clip=flops and flops / 1e9,
        mfu=flops and flops * setting.batch / step / PEAK_FLOPS,
        mfu_back_to_back=flops and 1e3 * flops * setting.batch / back_to_back / PEAK_FLOPS,
        peak_mb=peak and peak / 1e6,
        first_step_s=first,
        **more,
    )


def flops_of(candidate: BenchStep) -> float | None:
    """FLOPs per clip of a method, computed once per method and size."""
    key = type(candidate.model).__name__, candidate.setting.size
    if key not in FLOPS:
        FLOPS[key] = flops_per_clip(candidate.model, candidate.batch)
    return FLOPS[key]
