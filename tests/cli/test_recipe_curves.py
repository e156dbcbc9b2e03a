"""The losses shipped beside a recipe are those that its first steps have today."""

import csv
import json

import pytest

from vmae_zoo.cli.main import main
from vmae_zoo.resources import resource

STEPS = 10  # all of them in the warm-up, so that a short run has the rates of the whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mae", "classifier"])  # the quickest; the others go the same way
def test_the_first_ten_steps_of_a_recipe_end_at_the_loss_on_record(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = [f"--trainer.max_steps={STEPS}", "--trainer.limit_val_batches=0", "--data.workers=0"]
    assert main(["fit", "-c", f"recipes/{name}.yaml", *short, "--json", "run.json"]) == 0
    with (resource("recipes") / "curves" / f"{name}.csv").open() as file:
        recorded = next(row for row in csv.DictReader(file) if row["step"] == str(STEPS))
    metrics = json.loads((tmp_path / "run.json").read_text())["metrics"]
    assert metrics["loss/train"] == pytest.approx(float(recorded["loss/train"]), abs=2e-3)
