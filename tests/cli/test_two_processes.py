"""Two processes on a CPU, started by the command itself: one run, one folder, one summary."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # several processes, or thousands of clips


def test_two_processes_share_one_run_folder(tmp_path, encode):
    for number in range(8):
        encode(tmp_path / "clips" / f"{number}.mp4", frames=8)
    small = {
        "data.root": "clips",
        "data.size": 32,
        "data.frames": 4,
        "data.stride_frames": 1,
        "data.batch_size": 2,
        "data.global_batch": 8,
        "data.workers": 0,
        "model.width": 24,
        "model.depth": 1,
        "model.num_heads": 2,
        "trainer.devices": 2,
        "trainer.strategy": "ddp",
        "trainer.max_steps": 2,
    }
    command = [str(Path(sys.executable).parent / "lightning"), "fit", "-c", "recipes/videomae.yaml"]
    command += [f"--{name}={value}" for name, value in small.items()]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "videomae").iterdir()
    lines = done.stdout.splitlines()
    assert lines[-1] == str(folder)
    assert lines.count(f"folder: {folder}") == 1, "only the first process speaks"
    assert "batch:  2 clips x 2 processes x 2 accumulated = 8 clips a step" in lines
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["processes"], summary["steps"], summary["samples"]) == (2, 2, 16)
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
