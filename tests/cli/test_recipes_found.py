"""Recipes: which file a name means, in a checkout, in a wheel, from anywhere; and what they are made of."""

from pathlib import Path

import pytest
import yaml

from vmae_zoo import resources
from vmae_zoo.cli.main import main
from vmae_zoo.cli.recipe_arguments import with_recipes
from vmae_zoo.compose import compose
from vmae_zoo.resources import find_recipe


@pytest.fixture(params=["wheel", "checkout"])
def home(request, tmp_path, monkeypatch):
    """Packaged recipes as a wheel and as a checkout hold them; the current folder is empty."""
    package = tmp_path / "src" / "vmae_zoo"
    recipes = (package if request.param == "wheel" else tmp_path) / "recipes"
    for name in ("videomae.yaml", "mgmae.yaml", "data/demo.yaml", "paper/videomae_base.k400-800.yaml"):
        (recipes / name).parent.mkdir(parents=True, exist_ok=True)
        (recipes / name).write_text(f"# {name}: what it is\nsize: 8\n")
    package.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(resources, "_HOMES", (package, tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return recipes


@pytest.mark.parametrize("name", ["recipes/videomae.yaml", "videomae.yaml", "../recipes/videomae.yaml"])
def test_a_recipe_that_is_not_here_is_the_packaged_one(home, name):
    assert find_recipe(name).resolve() == home / "videomae.yaml"


def test_parts_and_published_recipes_are_found_too(home):
    assert find_recipe("data/demo.yaml") == home / "data" / "demo.yaml"
    assert find_recipe("recipes/paper/videomae_base.k400-800.yaml").parent == home / "paper"


def test_ones_own_file_goes_first(home):
    Path("recipes").mkdir()
    Path("recipes/videomae.yaml").write_text("mine: 1")
    assert find_recipe("recipes/videomae.yaml") == Path("recipes/videomae.yaml")


def test_an_unknown_recipe_names_the_closest(home):
    with pytest.raises(
        ValueError, match=r"no recipe recipes/videmae.yaml.*did you mean recipes/videomae.yaml"
    ) as error:
        find_recipe("recipes/videmae.yaml")
    assert "\n" not in str(error.value)


def test_arguments_that_name_recipes_are_replaced(home):
    given = ["fit", "-c", "recipes/mgmae.yaml", "--data=data/demo.yaml", "--data.root", "x.yaml", "--trainer", "{}"]
    path = home / "mgmae.yaml"
    part = home / "data" / "demo.yaml"
    assert with_recipes(given) == ["fit", "-c", str(path), f"--data={part}", "--data.root", "x.yaml", "--trainer", "{}"]


def test_classes_get_their_names_of_today_where_an_option_takes_a_class():
    callback = "vmae_zoo.callbacks.LineProgress"
    given = ["fit", "--data.root", "Pictures", "--name=Pictures", "--trainer.callbacks+=ProgressLines"]
    given += ["--trainer.callbacks", "ProgressLines", "--x.class_path", "ProgressLines", "--json"]
    expected = ["fit", "--data.root", "Pictures", "--name=Pictures", f"--trainer.callbacks+={callback}"]
    assert with_recipes(given) == [*expected, "--trainer.callbacks", callback, "--x.class_path", callback, "--json"]


def test_a_part_lies_beside_the_recipe_or_in_the_package(home):
    Path("mine").mkdir()
    Path("mine/part.yaml").write_text("size: 3\nframes: 2\n")
    Path("mine/beside.yaml").write_text(
        "data: part.yaml\ndata.size: 5\nmodel: {class_path: A}\nmodel.init_args.x: 1e-3\n"
    )
    Path("mine/packaged.yaml").write_text("data: ../data/demo.yaml\n")
    assert compose(Path("mine/beside.yaml")) == {
        "data": {"size": 5, "frames": 2},
        "model": {"class_path": "A", "init_args": {"x": 0.001}},
    }
    assert compose(Path("mine/packaged.yaml")) == {"data": {"size": 8}}


def test_a_class_is_short_for_a_group_and_other_values_are_refused(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("model: VideoMAE\nmodel.init_args.depth: 2\ndata: my.Data\n")
    assert compose(recipe) == {
        "model": {"class_path": "VideoMAE", "init_args": {"depth": 2}},
        "data": {"class_path": "my.Data"},
    }
    for keys, message in (("data: 3", "data = 3: expected a mapping"), ("data: null\ndata.frames: 8", "data = None")):
        recipe.write_text(keys)
        with pytest.raises(ValueError, match=message):
            compose(recipe)


def test_the_recipes_subcommand_lists_them_with_their_first_line(home, capsys, tmp_path):
    assert main(["recipes", "--json", str(tmp_path / "list.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "recipes/mgmae.yaml",
        "recipes/videomae.yaml",
        "recipes/paper/videomae_base.k400-800.yaml",
    ]
    assert all(line.endswith("what it is") for line in lines if line.startswith(" "))


@pytest.mark.parametrize("part", sorted(resources.resource("recipes").glob("*/*.yaml")), ids=lambda path: path.stem)
def test_every_packaged_part_is_a_mapping(part):
    assert isinstance(yaml.safe_load(part.read_text()), dict)
