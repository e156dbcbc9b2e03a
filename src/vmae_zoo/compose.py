"""Recipes that name their parts by file and change single keys of them.

A recipe may hold::

    data: data/kinetics400.yaml      # a part, found beside the recipe, else in the package
    data.global_batch: 2048          # one key on top of it
    trainer: trainer/ddp.yaml
    trainer.max_epochs: 800

so that each number is stated once. Parts are merged key by key, as several ``-c`` are. ``model: VideoMAE`` is short for
``model: {class_path: VideoMAE}``; ``data`` alike.
"""

from pathlib import Path
from typing import Any

from vmae_zoo.aliases import current_class_paths
from vmae_zoo.recipe_yaml import read_recipe
from vmae_zoo.resources import find_recipe

PARTS = ("model", "data", "trainer", "checkpoint")
CLASSES = ("model", "data")  # groups that a class stands for


def compose(recipe: Path) -> dict[str, Any]:
    """The recipe as one nested mapping, with its parts filled in and today's names of classes.

    Raises:
        ValueError: the file is not YAML, not a mapping, names a part that does not exist, or has a value where there
            should be a group.
    """
    whole: dict[str, Any] = {}
    for key, value in sorted(read_recipe(recipe).items(), key=lambda item: "." in item[0]):
        if names_part(key, value):
            value = read_recipe(part_file(recipe, value))
        elif key in CLASSES and isinstance(value, str):
            value = {"class_path": value}
        elif key in CLASSES and not isinstance(value, dict | None):
            raise ValueError(f"{recipe}: {key} = {value!r}: expected a mapping of settings, or the name of a class")
        *groups, last = key.split(".")
        inside = whole
        for group in groups:
            inside = inside.setdefault(group, {})
            if not isinstance(inside, dict):
                raise ValueError(f"{recipe}: {group} = {inside!r} is not a mapping, in which to set {key}: remove one")
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
