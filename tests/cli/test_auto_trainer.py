"""The automatic trainer settings: bfloat16 on a CUDA device that has it, else full precision on the CPU."""

import pytest
import torch

from vmae_zoo.cli.auto_trainer import resolve_auto, with_auto_trainer

AUTO = {"accelerator": "auto", "devices": 1, "precision": "auto"}


@pytest.mark.parametrize(
    ("cuda", "bf16", "accelerator", "expected"),
    [
        (True, True, None, ("gpu", "bf16-mixed")),
        (True, False, None, ("gpu", "32-true")),
        (True, True, "cpu", ("cpu", "32-true")),
        (False, False, None, ("cpu", "32-true")),  # also with MPS, which must be named
        (False, False, "mps", ("mps", "32-true")),
    ],
)
def test_what_the_device_computes_with(monkeypatch, cuda, bf16, accelerator, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    found = resolve_auto(AUTO, accelerator)
    assert (found["accelerator"], found["precision"]) == expected
    assert found["devices"] == 1


def test_other_settings_stay_as_they_are(monkeypatch):
    given = {"accelerator": "auto", "precision": "16-mixed"}
    assert resolve_auto(given) == given


def test_a_part_on_the_command_line_becomes_options(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "auto.yaml").write_text("{accelerator: auto, precision: auto}")
    (tmp_path / "cpu.yaml").write_text("{accelerator: cpu, precision: 32-true}")
    options = ["--trainer.accelerator=cpu", "--trainer.precision=32-true"]
    auto, cpu = str(tmp_path / "auto.yaml"), str(tmp_path / "cpu.yaml")
    assert with_auto_trainer(["fit", "--trainer", auto, "--x", "1"]) == ["fit", *options, "--x", "1"]
    assert with_auto_trainer(["fit", f"--trainer={auto}"]) == ["fit", *options]
    assert with_auto_trainer(["fit", "--trainer", cpu]) == ["fit", "--trainer", cpu]
