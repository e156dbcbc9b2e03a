"""Peak memory of a training step, measured in a separate process: weights, gradients, moments, activations."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from vmae_zoo.bench.candidates import Setting, build


def measure_in_subprocess(name: str, setting: Setting) -> dict[str, float | None]:
    """`measure` in a new process; None if it failed."""
    options = ["--measure-memory", name, "--size", setting.size, "--batch", str(setting.batch)]
    options += ["--device", setting.device]
    options += ["--precision", setting.precision, *(["--compile"] if setting.compile else [])]
    command = [sys.executable, "-m", "vmae_zoo", "bench", "train", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        return {"mb": None, "mb_beside_weights": None}
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(name: str, setting: Setting) -> dict[str, float]:
    """Peak memory of a candidate's second step, once AdamW has its moments.

    Returns:
        "mb", in total; "mb_beside_weights", without weights, gradients and moments, whose size does not depend on the
        batch.
    """
    candidate = build(name, setting)
    trained = [parameter for parameter in candidate.model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    candidate.update()
    weights = sum(tensor.nbytes for tensor in (*candidate.model.parameters(), *candidate.model.buffers()))
    fixed = weights + 3 * sum(parameter.nbytes for parameter in trained)
    before = _reset(setting.device)
    candidate.step()
    if setting.device == "cuda":
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = _held("VmHWM") - before + fixed - sum(parameter.nbytes for parameter in trained)  # no gradients yet
    return {"mb": round(peak / 1e6), "mb_beside_weights": round((peak - fixed) / 1e6)}


def _reset(device: str) -> int:
    """Reset the peak, return free memory to the system; bytes held now."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return _held("VmRSS")


def _held(what: str) -> int:
    """Resident memory of this process in bytes, now (VmRSS) or at its peak (VmHWM); outside Linux always the peak."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(what))
    import resource

    scale: Any = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
