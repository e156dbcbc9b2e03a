"""``lightning``: trainer subcommands run here, any other goes to the next package with such a command."""

import sys
from types import SimpleNamespace

import pytest

from vmae_zoo.cli import lightning_command


@pytest.fixture
def call(monkeypatch):
    """Runs ``lightning ...`` beside packages that bring the same command; returns who answered."""

    def run(*arguments, installed=("vmae-zoo",)):
        answered = []

        def script(owner):
            return SimpleNamespace(dist=SimpleNamespace(name=owner), load=lambda: lambda: answered.append(owner))

        monkeypatch.setattr(sys, "argv", ["lightning", *arguments])
        monkeypatch.setattr(lightning_command, "entry_points", lambda **_: [script(name) for name in installed])
        monkeypatch.setattr(lightning_command, "vmae_zoo_main", lambda: answered.append("vmae_zoo") or 0)
        return lightning_command.main(), answered

    return run


@pytest.mark.parametrize("name", ["fit", "validate", "test", "predict"])
def test_trainer_subcommands_run_here_whatever_is_installed(call, name):
    assert call(name, installed=("vmae-zoo", "lightning_sdk")) == (0, ["vmae_zoo"])


@pytest.mark.parametrize(
    ("installed", "owner"),
    [
        (("litserve", "vmae-zoo", "lightning_sdk"), "lightning_sdk"),
        (("Lightning.SDK", "vmae-zoo"), "Lightning.SDK"),
        (("vmae-zoo", "litserve"), "litserve"),
    ],
)
def test_other_subcommands_go_to_lightning_sdk_first(call, installed, owner):
    assert call("studio", installed=installed) == (0, [owner])


def test_other_subcommands_without_an_owner_get_one_line(call, capsys):
    assert call("studio") == (2, [])
    error = capsys.readouterr().err
    assert "lightning-sdk" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_are_ours_when_nobody_else_is_there(call, option):
    assert call(option) == (0, ["vmae_zoo"])
    assert call() == (0, ["vmae_zoo"])
