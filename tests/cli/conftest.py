"""The command line over a method and a data module of a few numbers, see `toys`."""

from collections.abc import Callable
from pathlib import Path

import pytest

RECIPE = """
model: {class_path: toys.Toy}
data: {class_path: toys.ToyData, init_args: {batch_size: 4}}
trainer: {max_epochs: 2, accelerator: cpu}
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to run in, with the recipe ``toy.yaml``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    Path("toy.yaml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def vmae(here) -> Callable[..., int]:
    """The command line: takes arguments, returns the exit code."""
    from vmae_zoo.cli.main import main

    return lambda *arguments: main([str(argument) for argument in arguments])
