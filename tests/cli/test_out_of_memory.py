"""A process that may not take more memory says which batch to try, on a CPU for real."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch, lightning, torch.utils.tensorboard
import vmae_zoo.cli.trainer, vmae_zoo.methods, vmae_zoo.data
from vmae_zoo.cli.main import main

torch.ones(8, 8) @ torch.ones(8, 8)
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not enforce the limit")
def test_the_batch_that_does_not_fit_is_named_with_one_that_may(tmp_path, encode):
    first = encode(tmp_path / "clips" / "0.mp4", frames=18, size=(128, 128))
    for number in range(1, 80):
        os.link(first, first.with_name(f"{number}.mp4"))
    (tmp_path / "run.py").write_text(SCRIPT)
    small = ["--model.width=48", "--model.depth=2", "--model.num_heads=2", "--model.mask_ratio=0.5"]
    data = ["--data.root=clips", "--data.size=128", "--data.stride_frames=1", "--data.batch_size=72"]
    run = ["--data.global_batch=72", "--data.workers=0", "--trainer.max_steps=2", "--trainer.max_epochs=-1"]
    done = subprocess.run(
        [sys.executable, "run.py", "fit", "-c", "recipes/videomae.yaml", *small, *data, *run],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1, done.stdout[-1000:] + done.stderr[-2000:]
    assert done.stderr.splitlines()[-1] == (
        "vmae-zoo: error: data.batch_size = 72 clips a process do not fit memory: try --data.batch_size 36"
        " (the same steps), or --model.gradient_checkpointing true"
    )
