"""``vmae-zoo doctor``: versions, devices, decoders and commands of this installation, and its problems."""

import argparse
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import vmae_zoo
from vmae_zoo.cli.json_option import add_json, write_json

PACKAGES = (
    "torch", "torchvision", "lightning", "jsonargparse", "timm", "av", "opencv-python-headless", "torchmetrics",
    "safetensors", "huggingface_hub", "tensorboard",
)  # fmt: skip
CODECS = {"h264": "H.264", "hevc": "H.265", "vp9": "VP9", "av1": "AV1", "mpeg4": "MPEG-4"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_json(parser, "the report")
    parser.epilog = "exit code 1 if there is a problem, 0 otherwise\nexample: vmae-zoo doctor --json doctor.json"


def run(args: argparse.Namespace) -> int:
    """Print the report, problems last."""
    report = examine()
    for key, value in report.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, detail in value.items():
                print(f"  {name}: {_words(detail)}")
        elif key != "problems":
            print(f"{key}: {_words(value)}")
    for problem in report["problems"]:
        print(f"problem: {problem}")
    print(f"{len(report['problems']) or 'no'} problems found")
    write_json(args.json, report)
    return 1 if report["problems"] else 0


def examine() -> dict[str, Any]:
    """The report; ``problems`` is a list of sentences, each with its cure."""
    problems: list[str] = []
    return {
        "vmae_zoo": vmae_zoo.__version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": packages(problems),
        "devices": devices(problems),
        "decoders": decoders(problems),
        "lightning command": lightning_command(problems),
        "cache": cache(problems),
        "problems": problems,
    }


def packages(problems: list[str]) -> dict[str, str | None]:
    """Installed versions; those known not to work are problems."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        found[name] = version(name)
        if found[name] is None:
            problems.append(f"{name} is missing: pip install {name}")
    if _major(found["jsonargparse"]) >= 5:
        problems.append("jsonargparse 5 dropped what Lightning 2.6 calls: pip install 'jsonargparse[signatures]<5'")
    if _major(found["av"]) >= 19:
        problems.append("av 19 changed the type of frame rates: pip install 'av>=18,<19'")
    if problem := import_problem():
        problems.append(problem)
    return found


def version(package: str) -> str | None:
    """The installed version; None if the package is missing."""
    from importlib import metadata  # a third of the start-up

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def import_problem() -> str | None:
    """Why torchvision cannot be imported, with the cure; None if it can."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        if "torchvision::nms" in str(error):
            return (
                "torchvision was built for another torch (operator torchvision::nms does not exist), as when CPU-only "
                "torch meets PyPI's CUDA torchvision: take both from one place, pip install --force-reinstall torch "
                "torchvision --index-url https://download.pytorch.org/whl/cpu"
            )
        return f"torchvision cannot be imported ({_one_line(error)}): pip install --force-reinstall torchvision"
    return None


def devices(problems: list[str]) -> list[str]:
    """What training can run on."""
    try:
        import torch
    except (ImportError, OSError) as error:
        problems.append(f"torch cannot be imported ({_one_line(error)}): pip install --force-reinstall torch")
        return []
    found = [f"cpu ({torch.get_num_threads()} threads)"]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        bf16 = "" if torch.cuda.is_bf16_supported() else ", no bfloat16: use --trainer.precision 16-mixed"
        found.append(f"cuda:{index} {about.name}, {about.total_memory / 2**30:.0f} GiB{bf16}")
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        problems.append(f"there is an NVIDIA driver but torch {torch.__version__} cannot use it: install a CUDA build")
    return found


def decoders(problems: list[str]) -> dict[str, Any]:
    """Which codecs PyAV decodes, and the version of torchcodec, which is optional."""
    found: dict[str, Any] = {}
    try:
        import av
    except (ImportError, OSError) as error:
        problems.append(f"PyAV cannot be imported ({_one_line(error)}): pip install --force-reinstall 'av<19'")
    else:
        for codec, name in CODECS.items():
            found[name] = _decodes(av, codec)
        if missing := [name for name, there in found.items() if not there]:
            problems.append(f"PyAV cannot decode {', '.join(missing)}: pip install --force-reinstall --no-deps 'av<19'")
    found["torchcodec (optional)"] = version("torchcodec")
    return found


def _decodes(av: Any, codec: str) -> bool:
    try:
        av.codec.Codec(codec, "r")
    except av.error.FFmpegError:
        return False
    return True


def lightning_command(problems: list[str]) -> str:
    """The package that the ``lightning`` command on PATH belongs to."""
    path = shutil.which("lightning")
    beside = Path(sys.executable).parent / "lightning"
    cure = "`pip install --force-reinstall --no-deps vmae-zoo`, or use `vmae-zoo fit`, the same program"
    if path is None and beside.exists():
        return f"not on PATH: {beside.parent} is not (is this environment activated?)"
    if path is None:
        problems.append(f"there is no `lightning` command on PATH: {cure}")
        return "none on PATH"
    script = Path(path).read_bytes()[:4096]
    if b"vmae_zoo" in script:
        return f"vmae_zoo ({path})"
    owner = next(
        (name for name in ("lightning_sdk", "litserve", "lightning") if name.encode() in script), "another package"
    )
    problems.append(f"`lightning` on PATH belongs to {owner} ({path}): {cure}")
    return f"{owner} ({path})"


def cache(problems: list[str]) -> str:
    """The folder for the embedded clips."""
    try:
        from vmae_zoo.cache_folder import cache_folder
    except (ImportError, OSError) as error:
        problems.append(f"vmae_zoo's own modules cannot be imported: {_one_line(error)}")
        return "unknown"
    folder = cache_folder()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        problems.append(f"the cache folder {folder} cannot be written: set VMAE_ZOO_CACHE to one that can")
        return f"{folder} (not writable)"
    return f"{folder} ({shutil.disk_usage(there).free / 2**30:.0f} GiB free)"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _major(number: str | None) -> int:
    return int(number.partition(".")[0]) if number else 0


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not installed" if value is None else str(value)
