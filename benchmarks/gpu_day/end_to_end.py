"""``vmae-zoo fit`` as a user runs it: decoding, copies, steps and callbacks; and a batch that does not fit."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.gpu_day.session import Session

SMI = "utilization.gpu,power.draw,clocks.sm,memory.used"
SERIES = ("throughput/", "loss/train", "gradient/")


def measure_fit(session: Session) -> None:
    """Train for some seconds, compiled and eager."""
    if session.smoke:
        fit(session, "eager", 60, "--trainer.max_steps", "2", batch=2, workers=0)
        return
    fit(session, "compiled", 45, "--model.compile", "true", batch=128)
    if session.seconds_left() > 40:
        fit(session, "eager", 25, batch=128)


def measure_out_of_memory(session: Session) -> None:
    """Run out of memory, then train with the batch size that the error message suggests."""
    if session.smoke:
        session.record("left_out", reason="needs a GPU")
        return
    batch = 640
    done = fit(session, "too_large", 60, "--trainer.max_steps", "3", batch=batch, size="large", workers=8)
    message = (done.stderr.strip().splitlines() or [""])[-1]
    suggested = re.search(r"--data\.batch_size (\d+)", message)
    ok = done.returncode == 1 and "memory" in message and suggested is not None
    session.record("out_of_memory", ok=ok, rc=done.returncode, message=message)
    while suggested and session.seconds_left() > 25:
        batch = int(suggested[1])
        done = fit(session, f"suggested_{batch}", 40, "--trainer.max_steps", "3", batch=batch, size="large", workers=8)
        suggested = re.search(r"--data\.batch_size (\d+)", done.stderr) if done.returncode else None


def fit(
    session: Session, label: str, seconds: int, *options: str, batch: int, size: str = "", workers: int = 16
) -> subprocess.CompletedProcess:
    """Run ``vmae-zoo fit`` and record its clips per second, its wait for data, and the load of the machine."""
    folder, data = session.scratch / f"run_{label}", clips_folder(session, 2 if session.smoke else 40)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "model.size": size or session.size,
        "model.depth": "null",
        "model.mask_ratio": "0.75" if session.smoke else "0.9",
        "model.base_lr": "1.5e-4",
        "model.min_lr": "1e-5",
        "data.root": data,
        "data.size": 64 if session.smoke else 224,
        "data.frames": 16,
        "data.batch_size": batch,
        "data.global_batch": batch,
        "data.workers": workers,
        "trainer.max_epochs": 1000,
        "trainer.max_time": f"00:00:{seconds // 60:02d}:{seconds % 60:02d}",
        "trainer.default_root_dir": folder,
        "trainer.check_val_every_n_epoch": 100000,
        "pictures.every_n_steps": 100000,
    }
    command = [sys.executable, "-m", "vmae_zoo", "fit", "-c", "recipes/videomae.yaml", "--trainer"]
    command += [f"recipes/trainer/{'cpu' if session.smoke else '1gpu'}.yaml"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    monitor = None
    if session.device == "cuda":
        query = ["nvidia-smi", f"--query-gpu={SMI}", "--format=csv,noheader,nounits", "-l", "2"]
        monitor = subprocess.Popen(query, stdout=(folder / "smi.csv").open("w"), stderr=subprocess.DEVNULL)
    environment = {name: value for name, value in os.environ.items() if name != "PYTORCH_ALLOC_CONF"}
    start, busy = time.monotonic(), cpu_seconds()
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=environment, check=False)
    wall, busy = time.monotonic() - start, cpu_seconds() - busy
    if monitor:
        monitor.terminate()
        monitor.wait()
    print(done.stdout[-2500:], done.stderr[-2500:])
    with session.guard("fit_series", label=label):
        record_series(session, label, folder)
    session.record(
        "fit",
        label=label,
        rc=done.returncode,
        wall_s=wall,
        cores_busy=busy / wall,
        batch=batch,
        workers=workers,
        options=" ".join(options),
        gpu_utilization=gpu_utilization(folder / "smi.csv") if monitor else None,
        error=done.stderr[-800:] if done.returncode else None,
    )
    shutil.rmtree(folder, ignore_errors=True)
    return done


def record_series(session: Session, label: str, folder: Path) -> None:
    """Record throughput, loss and gradient norm from the TensorBoard events, without the first third."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    series: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for run in {file.parent for file in folder.rglob("events.out.tfevents.*")}:
        events = EventAccumulator(str(run))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            if tag.startswith(SERIES):
                series[tag] += [(event.step, round(event.value, 5)) for event in events.Scalars(tag)]
    for tag, points in series.items():
        values = [value for _, value in points][len(points) // 3 :]
        thinned = points[:: max(len(points) // 40, 1)]
        session.record(
            "fit_series", label=label, tag=tag, median=statistics.median(values), last=values[-1], points=thinned
        )


def clips_folder(session: Session, copies: int) -> Path:
    """The embedded scenes, each under several names, so that the start of an epoch does not dominate."""
    from vmae_zoo.datasets.synthetic.embedded import embedded_root

    folder = session.scratch / "clips"
    if not folder.exists():
        folder.mkdir()
        for video in sorted(embedded_root("scenes").rglob("*.mp4")):
            for copy in range(copies):
                (folder / f"{video.stem}-{copy:03d}.mp4").symlink_to(video)
    return folder


def cpu_seconds() -> float:
    """Seconds that all cores of the machine have been busy."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def gpu_utilization(log: Path) -> float | None:
    """Median utilization in percent, without the first third."""
    values = [line.split(",")[0].strip() for line in log.read_text().splitlines()]
    numbers = [float(value) for value in values if value.isdigit()]
    return statistics.median(numbers[len(numbers) // 3 :]) if numbers else None
