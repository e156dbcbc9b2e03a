"""A run that goes from two processes to one and back sees the clips, and has the losses, of one that never did."""

import json
from pathlib import Path

import pytest
import torch
from tests.small_run import SMALL_RUN
from tests.two_processes import started

pytestmark = pytest.mark.slow  # several processes

DIARY = """
import json, os, signal
from pathlib import Path
from lightning import Callback


class Diary(Callback):
    '''Writes down each batch; tells only the last process to end.'''
    def __init__(self, file: str, stop_at: int = 10**9):
        self.file, self.stop_at = file, stop_at
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        line = {"step": trainer.global_step, "keys": batch["key"].tolist(), "loss": float(outputs["loss"])}
        with Path(f"{self.file}-{trainer.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\\n")
        if trainer.global_step == self.stop_at and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)
"""

SETTINGS = SMALL_RUN | {
    "trainer.max_steps": 9,
    "trainer.max_epochs": -1,
    "trainer.limit_val_batches": 0,
    "pictures.every_n_steps": 100,
}


def fit(folder, diary, *arguments, processes=1, stop_at=None, resume=False):
    folder.mkdir(exist_ok=True)
    (folder / "diaries.py").write_text(DIARY)
    given = [f"--{name}={value}" for name, value in SETTINGS.items()]
    given += ["--trainer.callbacks+=diaries.Diary", f"--trainer.callbacks.file={diary}"]
    given += [f"--trainer.callbacks.stop_at={stop_at}"] if stop_at else []
    given += ["--ckpt_path", "last"] if resume else []
    code = 143 if stop_at else 0
    started("vmae_zoo", "fit", *given, *arguments, folder=folder, processes=processes, code=code)


def steps(folder, *diaries):
    """{step: (its keys, its loss)} of all processes of some sessions."""
    found: dict[int, list] = {}
    for diary in diaries:
        for file in sorted(folder.glob(f"{diary}-*.jsonl")):
            for line in map(json.loads, file.read_text().splitlines()):
                found.setdefault(line["step"], []).append(line)
    return {
        step: (sorted(key for line in lines for key in line["keys"]), sum(line["loss"] for line in lines) / len(lines))
        for step, lines in found.items()
    }


def last(folder: Path) -> dict:
    (file,) = folder.glob("runs/*/*/checkpoints/last.ckpt")
    return torch.load(file, weights_only=True)


def test_from_two_sharded_processes_to_one_and_to_two_by_ddp(tmp_path, encode):
    videos = tmp_path / "clips"
    for number in range(18):
        encode(videos / f"{number}.mp4", frames=8)
    root = ("--data.root", videos)
    two = ("--data.batch_size", "2", "--trainer.devices", "2")

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(whole, "d", *root, "--data.batch_size", "4")
    fit(parts, "a", *root, *two, "--trainer.strategy", "fsdp", processes=2, stop_at=2)
    stopped = last(parts)["global_step"]
    assert stopped == 3, "told after its second step, both ended after the next"
    fit(parts, "b", *root, "--data.batch_size", "4", stop_at=6, resume=True)
    assert last(parts)["global_step"] == 6
    fit(parts, "c", *root, *two, "--trainer.strategy", "ddp", processes=2, resume=True)

    expected, found = steps(whole, "d"), steps(parts, "a", "b", "c")
    assert {step: keys for step, (keys, _) in found.items()} == {step: keys for step, (keys, _) in expected.items()}
    for step, (_, loss) in expected.items():
        assert abs(found[step][1] - loss) < 2e-6, step
    for name, value in last(whole)["state_dict"].items():
        torch.testing.assert_close(last(parts)["state_dict"][name], value, atol=5e-6, rtol=1e-4)
