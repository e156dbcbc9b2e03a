"""The doctor names what is wrong and its cure."""

import builtins
import json

import pytest

from vmae_zoo.cli import doctor
from vmae_zoo.cli.main import main


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH of one folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def script(folder, text):
    (folder / "lightning").write_text(text)
    (folder / "lightning").chmod(0o755)


def test_a_sound_installation_is_reported_in_full(path, tmp_path, capsys):
    script(path, "#!/usr/bin/python\nfrom vmae_zoo.cli.lightning_command import main\n")
    assert main(["doctor", "--json", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["problems"] == []
    assert report["packages"]["torch"]
    assert report["decoders"]["H.264"] is True
    assert report["devices"][0].startswith("cpu")
    assert "no problems found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("from lightning_sdk.cli.entrypoint import main_cli", "lightning_sdk"),
        ("from litserve.cli import main", "litserve"),
        ("from lightning.fabric.cli import _legacy_main", "lightning"),
    ],
)
def test_another_owner_of_the_lightning_command_is_named_with_the_cure(path, text, owner):
    script(path, text)
    problems = []
    assert doctor.lightning_command(problems).startswith(owner)
    assert "pip install --force-reinstall --no-deps vmae-zoo" in problems[0]
    assert "vmae-zoo fit" in problems[0]


@pytest.mark.parametrize(("package", "number"), [("jsonargparse", "5.0.1"), ("av", "19.0.0"), ("timm", None)])
def test_versions_that_do_not_work_are_named_with_the_cure(monkeypatch, package, number):
    real = doctor.version

    monkeypatch.setattr(doctor, "version", lambda name: number if name == package else real(name))
    problems = []
    doctor.packages(problems)
    assert len(problems) == 1
    assert "pip install" in problems[0]
    assert package in problems[0]


def test_a_cpu_torch_with_a_cuda_torchvision_is_recognised(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert "--index-url https://download.pytorch.org/whl/cpu" in doctor.import_problem()


def test_a_cache_that_cannot_be_written_is_a_problem(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VMAE_ZOO_CACHE", str(tmp_path / "file" / "cache"))
    problems = []
    doctor.cache(problems)
    assert "VMAE_ZOO_CACHE" in problems[0]
