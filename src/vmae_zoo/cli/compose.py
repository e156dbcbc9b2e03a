"""Recipes that name their parts by file and change single keys of them.

A recipe may hold::

    data: data/kinetics400.yaml      # a part, found beside the recipe, else in the package
    data.global_batch: 2048          # one key on top of it
    trainer: trainer/ddp.yaml
    trainer.max_epochs: 800

so that each number is stated once. Parts are merged key by key, as several ``-c`` are.
"""

from pathlib import Path
from typing import Any

from vmae_zoo.aliases import current_class_paths
from vmae_zoo.recipe_yaml import read_recipe
from vmae_zoo.resources import find_recipe

PARTS = ("model", "data", "trainer", "checkpoint")


def compose(recipe: Path) -> dict[str, Any]:
    """The recipe as one nested mapping, with its parts filled in and today's names of classes.

    Raises:
        ValueError: the file is not YAML, not a mapping, or names a part that does not exist.
    """
    whole: dict[str, Any] = {}
    for key, value in sorted(read_recipe(recipe).items(), key=lambda item: "." in item[0]):
        if names_part(key, value):
            value = read_recipe(part_file(recipe, value))
        *groups, last = key.split(".")
        inside = whole
        for group in groups:
            inside = inside.setdefault(group, {})
        if isinstance(value, dict) and isinstance(inside.get(last), dict):
            inside[last].update(value)
        else:
            inside[last] = value
    return current_class_paths(whole)


def settings_of(group: Any) -> dict[str, Any]:
    """The settings of a group: those under ``init_args`` if it names a class, else its keys."""
    group = group if isinstance(group, dict) else {}
    return (group.get("init_args") or {}) if "class_path" in group else group


def files_of(recipe: Path) -> list[Path]:
    """The recipe's file and those of its parts."""
    return [recipe, *(part_file(recipe, value) for key, value in read_recipe(recipe).items() if names_part(key, value))]


def names_part(key: str, value: Any) -> bool:
    """Whether a key of a recipe names a file of more keys."""
    return key in PARTS and isinstance(value, str) and value.endswith((".yaml", ".yml"))


def part_file(recipe: Path, name: str) -> Path:
    """The file of a part: beside the recipe that names it, else packaged."""
    beside = recipe.parent / name
    return beside if beside.is_file() else find_recipe(name)
