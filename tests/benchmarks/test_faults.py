"""`python -m benchmarks.faults`: a real run that is killed, and the table of the command."""

import json
import sys

import pytest
from benchmarks.fault_harness import FaultError, FaultHarness, differences
from benchmarks.fault_injection import NotPossibleError

from benchmarks import fault_scenarios, faults


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9, no fork server")
def test_a_kill_changes_nothing(tmp_path):
    harness = FaultHarness(tmp_path, {"trainer.max_steps": 16, "trainer.limit_val_batches": 0})
    assert fault_scenarios.kill(harness, 1, 0).startswith("1 kill")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="no fork server, no /proc")
def test_writers_records_damage_and_killed_workers(tmp_path):
    harness = FaultHarness(tmp_path, {"trainer.limit_val_batches": 0, "trainer.max_steps": 24})
    assert "refused" in fault_scenarios.two_writers(harness, 1, 0)
    assert "resumed" in fault_scenarios.records(harness, 1, 0)
    assert "20 times" in fault_scenarios.flipped_bytes(harness, 1, 0)
    assert "saved at step" in fault_scenarios.worker_killed(harness, 1, 0)


def test_each_fault_has_a_row_and_a_broken_promise_an_exit_code(command, tmp_path, monkeypatch, capsys):
    def kept(harness, count, seed):
        return f"{count} kills"

    def skipped(harness, count, seed):
        raise NotPossibleError("no small disk here")

    def broken(harness, count, seed):
        raise FaultError("it ended otherwise")

    monkeypatch.setattr(faults, "SCENARIOS", {"kill": kept, "full-disk": skipped, "nan": broken})
    file = tmp_path / "f.json"
    assert command(faults, ["kill", "full-disk", "--kills", "2", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["faults"]
    assert [(row["fault"], row["promise"], row["detail"]) for row in rows] == [
        ("kill", "kept", "2 kills"),
        ("full-disk", "skipped", "no small disk here"),
    ]
    assert command(faults, []) == 1
    assert "broken" in capsys.readouterr().out.splitlines()[-1]


def test_a_difference_of_one_bit_is_found():
    import torch

    one = {"global_step": 3, "state_dict": {"w": torch.ones(2)}, "optimizer_states": [{"state": {0: torch.ones(1)}}]}
    two = {**one, "state_dict": {"w": torch.tensor([1.0, 1.0 + 1.2e-7])}}
    assert list(differences(one, one)) == []
    assert list(differences(one, two)) == ["state_dict['w']"]
    assert list(differences(one, {**one, "global_step": 4})) == ["global_step"]


def test_an_unknown_fault_is_named(command, capsys):
    assert command(faults, ["flood"]) == 1
    assert "flood" in capsys.readouterr().err
