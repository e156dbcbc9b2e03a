"""The short form of `vmae-zoo bench faults`: real runs killed, told to end, and on a full disk."""

import json
import sys

import pytest

from vmae_zoo.bench.fault_lab import differences
from vmae_zoo.cli.main import main


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9, no fork server")
def test_two_kills_a_signal_in_a_save_and_a_full_disk_change_nothing(tmp_path, capsys):
    assert main(["bench", "faults", "kill", "full-disk", "--kills", "2", "--json", str(tmp_path / "f.json")]) == 0
    rows = json.loads((tmp_path / "f.json").read_text())["faults"]
    assert [row["fault"] for row in rows] == ["kill", "full-disk"]
    assert rows[0]["promise"] == "kept"
    assert rows[0]["detail"].startswith("2 kills")
    assert rows[1]["promise"] in ("kept", "skipped")  # skipped where no small disk can be made
    assert "kept" in capsys.readouterr().out


def test_a_difference_of_one_bit_is_found():
    import torch

    one = {"global_step": 3, "state_dict": {"w": torch.ones(2)}, "optimizer_states": [{"state": {0: torch.ones(1)}}]}
    two = {**one, "state_dict": {"w": torch.tensor([1.0, 1.0 + 1.2e-7])}}
    assert list(differences(one, one)) == []
    assert list(differences(one, two)) == ["state_dict['w']"]
    assert list(differences(one, {**one, "global_step": 4})) == ["global_step"]


def test_an_unknown_fault_is_named(capsys):
    assert main(["bench", "faults", "flood"]) == 1
    assert "no fault flood: choose of kill, told" in capsys.readouterr().err
