"""Every recipe that ships parses and builds in full; one of each method takes a step in the shrunken form.

`vmae-zoo recipes check` does the step for all of them.
"""

import pytest

from vmae_zoo.cli.main import main
from vmae_zoo.cli.recipe_check import check, count_parameters
from vmae_zoo.resources import packaged_recipes, resource

RECIPES = {str(path.relative_to(resource("recipes"))): path for path in packaged_recipes()}

PUBLISHED = {  # millions, as published or as the method descriptions calculate them
    "paper/videomae_small.k400-1600.yaml": 24.0,
    "paper/videomae_base.k400-800.yaml": 94.2,
    "paper/videomae_large.k400-1600.yaml": 343.0,
    "paper/videomae_huge.k400-1600.yaml": 692.5,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_recipe_builds_its_model_in_full(name):
    count, _ = count_parameters(RECIPES[name])
    assert count > 1e5
    if name in PUBLISHED:
        assert count / 1e6 == pytest.approx(PUBLISHED[name], abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["videomae.yaml", "paper/videomae_v2_giant.hybrid-1200.yaml", "paper/arvideo_base.k400-800.yaml"]
)
def test_recipe_takes_a_step_in_the_shrunken_form(name):
    assert check(RECIPES[name])["error"] is None


def test_an_invalid_recipe_is_answered_in_one_line(tmp_path, capsys):
    bad = resource("recipes") / "videomae.yaml"
    broken = tmp_path / "broken.yaml"
    broken.write_text(bad.read_text().replace("mask_ratio: 0.5", "mask_ratio: 1.0"))
    assert main(["fit", "-c", str(broken), "--trainer.fast_dev_run=true", "--data.workers=0"]) == 1
    assert "mask_ratio = 1.0 hides" in capsys.readouterr().err
    broken.write_text("trainer: {max_steps: 1}\n")
    assert main(["recipes", "check", str(broken)]) == 1
    assert "names no model" in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_opens_with_what_it_is_how_to_run_it_and_what_to_expect(name):
    lines = RECIPES[name].read_text().splitlines()
    assert all(line.startswith("# ") for line in lines[:3])
    assert f"fit -c recipes/{name}" in lines[1]
    assert len(lines) <= 40
