"""What the steps share: device, sizes, time limit, and the file of results."""

import gc
import json
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

PEAK_FLOPS = 989e12  # dense bf16 of an H100


class Session:
    """A step that is being measured.

    Args:
        out: folder of the results.
        step: name of the step.
        limit: seconds that the step may take.
        smoke: tiny sizes on the CPU.
    """

    def __init__(self, out: Path, step: str, limit: float, smoke: bool = False):
        self.out, self.step, self.limit, self.smoke = out, step, limit, smoke
        self.device = "cpu" if smoke else "cuda"
        self.size = "tiny" if smoke else "base"
        self.precision = "float32" if smoke else "bfloat16"
        self.scratch = out / "scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()

    def seconds_left(self) -> float:
        """Seconds until the limit."""
        return self.limit - (time.monotonic() - self._started)

    def record(self, what: str, **values: Any) -> None:
        """Append a result to ``results.jsonl`` and print it."""
        seconds = round(time.monotonic() - self._started, 1)
        line = {"step": self.step, "what": what, "seconds": seconds, **values}
        with (self.out / "results.jsonl").open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")
        short = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in values.items()}
        print(f"  {what}: " + " ".join(f"{name}={value}" for name, value in short.items())[:600], flush=True)

    @contextmanager
    def guard(self, what: str, **values: Any) -> Iterator[None]:
        """Record an error of a measurement instead of ending the step; free memory afterwards."""
        try:
            yield
        except Exception as error:
            oom = "out of memory" in str(error)
            message = "out of memory" if oom else f"{type(error).__name__}: {error}"[:400]
            self.record(what, **values, error=message, traceback=None if oom else traceback.format_exc()[-1500:])
            error.__traceback__ = None
        finally:
            self.free()

    def free(self) -> None:
        """Free cached memory of the device."""
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def peak_memory(self) -> int | None:
        """Peak memory of the device in bytes; None on a CPU."""
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else None

    def median_ms(self, work: Callable[[], Any], repeats: int = 20, warmup: int = 3) -> float:
        """Median milliseconds by the clock of the device; in a smoke run those of a single call."""
        if self.device == "cpu":
            start = time.perf_counter()
            work()
            return 1e3 * (time.perf_counter() - start)
        for _ in range(warmup):
            work()
        self.synchronize()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        events[0].record()
        for event in events[1:]:
            work()
            event.record()
        self.synchronize()
        return statistics.median(a.elapsed_time(b) for a, b in pairwise(events))
