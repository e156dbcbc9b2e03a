"""`vmae-zoo runs` tells where each run stands."""

import json

from vmae_zoo.cli.main import main
from vmae_zoo.cli.runs import read
from vmae_zoo.run_lock import RunLock


def test_runs_are_listed_oldest_first_with_state_and_losses(tmp_path, capsys):
    for recipe, moment, state in (("mae", "20260102-000000", "running"), ("videomae", "20260101-000000", "finished")):
        folder = tmp_path / recipe / moment
        (folder / "checkpoints").mkdir(parents=True)
        keys = {"state": state, "steps": 30, "seconds": 1.5, "metrics": {"loss/val": 0.5, "gradient/norm": 9.0}}
        (folder / "summary.json").write_text(json.dumps(keys))
    running = tmp_path / "mae/20260102-000000"
    (running / "checkpoints/last.ckpt").touch()
    lock = RunLock(running)
    lock.acquire()
    assert main(["runs", str(tmp_path), "--json", str(tmp_path / "list.json")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "videomae" in first
    assert first.split()[1:] == ["finished", "30", "steps", "loss/val", "0.5", "no", "checkpoint"]
    assert second.split()[1:] == ["running", "30", "steps", "loss/val", "0.5"]
    lock.release()
    assert read(running)["state"] == "dead", "no process writes to it"
    rows = json.loads((tmp_path / "list.json").read_text())
    assert rows[1]["checkpoint"].endswith("last.ckpt")


def test_a_folder_without_runs_is_told(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 1
    assert f"no run below {tmp_path}" in capsys.readouterr().err
