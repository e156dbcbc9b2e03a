"""Errors of PyTorch that a user can fix become one sentence with a cure."""

from pathlib import Path

import pytest

from vmae_zoo.cli.error_hints import hint_for
from vmae_zoo.cli.resumed_settings import Change

SETTINGS = {"model": {}, "data": {}, "trainer": {"devices": 2}}
SHM = (
    "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of "
    "shared memory. Please try to raise your shared memory limit."
)


@pytest.mark.parametrize(
    ("text", "cures"),
    [
        (SHM, ["--shm-size", "--data.workers 0"]),
        ("unable to write to file </torch_7_1>: No space left on device (28)", ["--shm-size", "--data.workers 0"]),
        ("unable to allocate shared memory(shm) for file </torch_7_1>: No space left on device (28)", ["--shm-size"]),
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", ["SIGKILL", "--data.workers"]),
        ("DataLoader worker (pid(s) 7) exited unexpectedly", ["--data.workers", "--ckpt_path last"]),
        ("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1", ["another process"]),
    ],
)
def test_each_names_its_cure(text, cures):
    hint = hint_for(RuntimeError(text), SETTINGS, None)
    assert all(cure in hint for cure in cures)
    assert "\n" not in hint


def test_weights_that_do_not_fit_name_the_setting_not_the_keys():
    error = RuntimeError("Error(s) in loading state_dict for MAE:\n\tMissing key(s): a, b\n\tsize mismatch for c")
    changed = [Change("model.depth", 1, 4), Change("trainer.max_steps", 1, 2)]
    assert "(model.depth 1 -> 4)" in hint_for(error, SETTINGS, Path("last.ckpt"), changed)
    assert "(size mismatch for c)" in hint_for(error, SETTINGS, Path("last.ckpt"))


def test_an_error_of_another_kind_has_no_hint():
    assert hint_for(RuntimeError("shapes differ"), SETTINGS, None) is None
