"""The memory of one training step, measured in a process of its own: weights, gradients, moments, activations."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from vmae_zoo.bench.candidates import Setting, build


def alone(name: str, setting: Setting) -> dict[str, float | None]:
    """`measure` in a fresh process; None where it did not get through."""
    options = ["--alone", name, "--size", setting.size, "--batch", str(setting.batch), "--device", setting.device]
    options += ["--precision", setting.precision, *(["--compile"] if setting.compile else [])]
    command = [sys.executable, "-m", "vmae_zoo", "bench", "train", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        return {"mb": None, "mb_beside_weights": None}
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(name: str, setting: Setting) -> dict[str, float]:
    """The peak of a contender's second step, when AdamW has its moments.

    Returns:
        "mb", all of it; "mb_beside_weights", without weights, gradients and moments, which are as large for every
        batch.
    """
    contender = build(name, setting)
    trained = [parameter for parameter in contender.model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    contender.update()
    weights = sum(tensor.nbytes for tensor in (*contender.model.parameters(), *contender.model.buffers()))
    fixed = weights + 3 * sum(parameter.nbytes for parameter in trained)
    before = _reset(setting.device)
    contender.step()
    if setting.device == "cuda":
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = _held("VmHWM") - before + fixed - sum(parameter.nbytes for parameter in trained)  # no gradients yet
    return {"mb": round(peak / 1e6), "mb_beside_weights": round((peak - fixed) / 1e6)}


def _reset(device: str) -> int:
    """Forget the peak so far, that of building; bytes held now, without what is free and only not given back."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return _held("VmRSS")


def _held(what: str) -> int:
    """Bytes this process holds (VmRSS) or has held at most (VmHWM); elsewhere than on Linux always the latter."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(what))
    import resource

    scale: Any = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
