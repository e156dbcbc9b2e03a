"""A run that needs more memory than it may take names smaller settings; for real, on a CPU."""

import os
import sys

import pytest
import torch
from tests.two_processes import started

from vmae_zoo.cli.error_hints import hint_for

SCRIPT = """
import resource, sys
import torch
from vmae_zoo.cli.main import main

torch.ones(8, 8) @ torch.ones(8, 8)
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not enforce the limit")
def test_a_batch_too_large_for_memory_ends_with_settings_that_need_less(tmp_path, encode):
    first = encode(tmp_path / "clips" / "0.mp4", frames=18, size=(128, 128))
    for number in range(1, 80):
        os.link(first, first.with_name(f"{number}.mp4"))
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    small = ["--model.width=48", "--model.depth=2", "--model.num_heads=2", "--model.mask_ratio=0.5"]
    data = ["--data.root=clips", "--data.size=128", "--data.stride_frames=1", "--data.batch_size=72"]
    run = ["--data.global_batch=72", "--data.workers=0", "--trainer.max_steps=2", "--trainer.max_epochs=-1"]
    command = ["fit", "-c", "recipes/videomae.yaml", *small, *data, *run]
    last = started(script, *command, folder=tmp_path, processes=1, code=1).splitlines()[-1]
    assert last.startswith("vmae-zoo: error: ")
    for setting in ("data.batch_size = 72", "--data.batch_size 36", "--model.gradient_checkpointing true"):
        assert setting in last


def settings(size, model=None, accumulate=1, **data):
    return {
        "data": {"batch_size": size, **data},
        "model": {"class_path": "vmae_zoo.VideoMAE", "init_args": model or {}},
        "trainer": {"accumulate_grad_batches": accumulate},
    }


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (settings(64, global_batch=512), ["--data.batch_size 32 ("]),  # the accumulation follows from the global batch
        (settings(72, accumulate=2), ["--data.batch_size 36 --trainer.accumulate_grad_batches 4"]),
        (settings(9), ["--data.batch_size 3 --trainer.accumulate_grad_batches 3"]),
        (settings(1), ["a smaller model"]),
    ],
)
def test_the_smaller_batch_keeps_the_clips_of_a_step(given, named):
    hint = hint_for(torch.OutOfMemoryError("CUDA out of memory"), given, None)
    assert all(setting in hint for setting in [*named, "--model.gradient_checkpointing true", "BatchSizeFinder"])


def test_what_is_set_already_is_not_proposed():
    hint = hint_for(MemoryError(), settings(8, {"gradient_checkpointing": True}), None)
    assert "--data.batch_size 4" in hint
    assert "gradient_checkpointing" not in hint


def test_other_errors_get_no_hint_about_memory():
    assert hint_for(RuntimeError("a bug"), settings(8), None) is None
