"""Weights & Biases, by the line of the docs in a recipe, without a network; skips without wandb."""

import re
from pathlib import Path

import pytest

from vmae_zoo.viz.run_data import RunData

wandb = pytest.importorskip("wandb")
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "recipes.md"


def test_a_run_is_logged_by_one_line_of_a_recipe(vmae, here):
    (line,) = re.findall(r"^trainer.logger: .*Wandb.*$", DOCS.read_text(), re.MULTILINE)
    Path("mine.yaml").write_text(f"{Path('toy.yaml').read_text()}{line}\n")
    assert vmae("fit", "-c", "mine.yaml", "--trainer.log_every_n_steps", "1") == 0
    wandb.finish()  # as the end of a process does
    (logged,) = here.glob("wandb/offline-run-*/*.wandb")
    (run,) = (here / "runs" / "mine").iterdir()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert not list(run.glob("events*"))
    curves = RunData(run).curves
    assert curves
    assert not [name for name in curves if name.encode() not in logged.read_bytes()]
