"""A run folder written by version 0.1 before its classes were renamed is resumed and validated."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from vmae_zoo.cli.main import main


@pytest.mark.slow
def test_it_is_resumed_where_it_stopped(tmp_path, monkeypatch, encode, recwarn):
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        encode(tmp_path / "clips" / f"{number}.mp4", frames=8)
    run = tmp_path / "runs" / "videomae" / "20260101-120000"
    shutil.copytree(Path(__file__).parent / "old_run", run)
    before = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert "vmae_zoo.callbacks.ProgressLines" in (run / "recipe.yaml").read_text()
    assert "FiniteSteps" in before["callbacks"]
    assert main(["fit", "-c", str(run / "recipe.yaml"), "--ckpt_path=last", "--trainer.max_steps=6"]) == 0
    assert list(run.parent.iterdir()) == [run]
    after = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert (before["global_step"], after["global_step"]) == (4, 6)
    clips = [state["ClipDataModule"]["epoch"] * 6 + state["ClipDataModule"]["seen"] for state in (before, after)]
    assert clips == [8, 12], "two clips a step of the six, in the order of the run"
    assert "SkipNonFiniteSteps" in after["callbacks"]
    assert not [warning for warning in recwarn if "SkipNonFiniteSteps" in str(warning.message)]
    assert "vmae_zoo.callbacks.LineProgress" in (run / "recipe.yaml").read_text()
    assert json.loads((run / "summary.json").read_text())["state"] == "finished"
