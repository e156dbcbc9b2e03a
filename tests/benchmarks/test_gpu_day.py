"""Every step of the GPU day at tiny size on the CPU."""

import io
import json
import shutil
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from benchmarks.gpu_day import __main__ as gpu_day

from benchmarks import command_line
from vmae_zoo.cli.main import main
from vmae_zoo.methods.registry import CLASS_NAMES
from vmae_zoo.models.sizes import ENCODERS, EncoderSize

FAST = ("env",)
SLOW = tuple(name for name in gpu_day.STEPS if name not in (*FAST, "summary"))


RUN = subprocess.run


def in_this_process(command, **options):
    """`subprocess.run`, but the program runs in this process: its imports take longer than its work."""
    if command[1:3] != ["-m", "vmae_zoo"]:
        return RUN(command, **options)
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(command[3:])
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize("step", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_step_records_results_without_errors(step, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", in_this_process)
    for size in ("tiny", "small"):
        monkeypatch.setitem(ENCODERS, size, EncoderSize(width=48, depth=1, num_heads=2))
    arguments = [step, "--smoke", "--out", str(tmp_path)]
    with torch.compiler.set_stance("force_eager"):  # compilation takes minutes
        assert command_line.main("gpu_day", gpu_day.__doc__, gpu_day.configure, gpu_day.run, arguments) == 0
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert results
    assert [result["error"] for result in results if result.get("error")] == []
    assert all(result["ok"] for result in results if "ok" in result)
    if step == "correct":
        compared = {result["method"] for result in results if result["what"] == "cpu_against_device"}
        assert compared == set(CLASS_NAMES)


def test_a_failing_measurement_is_recorded_and_the_next_one_runs(tmp_path):
    session = gpu_day.Session(tmp_path, "bench", 60, smoke=True)
    with session.guard("step", method="VideoMAE"):
        raise RuntimeError("CUDA out of memory")
    session.record("step", method="MAE", ms=1.0)
    first, second = (json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines())
    assert (first["error"], second["ms"]) == ("out of memory", 1.0)


def test_the_summary_shows_steps_and_faults(tmp_path):
    session = gpu_day.Session(tmp_path, "bench", 60, smoke=True)
    numbers = ("ms", "ms_min", "ms_max", "ms_back_to_back", "ms_back_to_back_with_data", "data_ms", "host_ms",
               "clips_per_second", "clips_per_second_back_to_back", "first_step_s", "mfu", "mfu_back_to_back",
               "gflop_per_clip", "peak_mb")  # fmt: skip
    step = {"method": "VideoMAE", "size": "base", "batch": 64, "compiled": True, "rounds": 10}
    session.record("step", **step, **dict.fromkeys(numbers, 0.5))
    session.record("masks", method="MGMAE", ok=False)
    assert command_line.main("gpu_day", "", gpu_day.configure, gpu_day.run, ["summary", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "summary.txt").read_text()
    assert "50.0" in next(line for line in text.splitlines() if line.startswith("VideoMAE"))
    assert "method=MGMAE ok=False" in text
    (row,) = json.loads((tmp_path / "bench_train_gpu.json").read_text())["rows"]
    assert (row["name"], row["clips"], row["mfu"]) == ("VideoMAE", 64, 0.5)


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_the_script_names_only_steps_that_exist():
    script = Path(gpu_day.__file__).with_name("run.sh").read_text()
    (plan,) = [line for line in script.splitlines() if line.startswith("plan=(")]
    names = [entry.partition(":")[0] for entry in plan.removeprefix("plan=(").removesuffix(")").split()]
    assert set(names) | {"summary"} == set(gpu_day.STEPS)
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
