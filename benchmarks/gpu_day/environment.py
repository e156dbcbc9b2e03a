"""Versions, device, and the measured ceilings of copies and matrix products."""

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch
import torch.nn.functional as F

from benchmarks.gpu_day.session import Session
from vmae_zoo.data.loader import cores

PACKAGES = (
    "torch",
    "triton",
    "torchvision",
    "lightning",
    "torchmetrics",
    "transformers",
    "timm",
    "av",
    "jsonargparse",
    "numpy",
    "opencv-python-headless",
    "nvidia-cudnn-cu13",
)
SMI = "name,driver_version,clocks.sm,clocks.mem,power.limit,temperature.gpu,pcie.link.gen.current"
PRODUCTS = (  # (m, k, n): a large one, then the linear layers of ViT-B and its decoder at 64 clips
    (8192, 8192, 8192),
    (10240, 768, 3072),
    (10240, 3072, 768),
    (100352, 384, 1536),
    (100352, 1536, 384),
    (100352, 384, 1152),
)


def measure_environment(session: Session) -> None:
    """Record versions, device and ceilings."""
    import vmae_zoo

    versions = {name: _version(name) for name in PACKAGES}
    session.record("versions", python=platform.python_version(), cpus=cores(), **versions)
    session.record("package", vmae_zoo=vmae_zoo.__version__, path=vmae_zoo.__file__)
    session.record("commit", commit=_output("git", "rev-parse", "HEAD"))
    total, used, free = (round(size / 2**30, 1) for size in shutil.disk_usage("/dev/shm"))
    session.record("shm", total=total, used=used, free=free)
    if session.device == "cpu":
        return
    properties = torch.cuda.get_device_properties(0)
    session.record(
        "device",
        name=torch.cuda.get_device_name(),
        gib=round(properties.total_memory / 2**30, 1),
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
    )
    session.record("smi", line=_output("nvidia-smi", f"--query-gpu={SMI}", "--format=csv,noheader"))
    source = torch.empty(2**31, dtype=torch.uint8, device="cuda").random_(0, 256)
    target, pinned = torch.empty_like(source), torch.empty(2**28, dtype=torch.uint8).pin_memory()
    session.record("copy", tb_s=2 * source.numel() / session.median_ms(lambda: target.copy_(source)) / 1e9)
    to_device = session.median_ms(lambda: target[: 2**28].copy_(pinned, non_blocking=True))
    session.record("h2d_pinned", gb_s=pinned.numel() / to_device / 1e6)
    for m, k, n in PRODUCTS:
        x, weight, bias = (torch.randn(s, device="cuda", dtype=torch.bfloat16) for s in ((m, k), (n, k), (n,)))
        ms = session.median_ms(lambda x=x, weight=weight, bias=bias: F.linear(x, weight, bias))  # type: ignore[misc]
        session.record("matmul", shape=[m, k, n], tflops=2 * m * k * n / ms / 1e9)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _output(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
    except FileNotFoundError:
        return None
