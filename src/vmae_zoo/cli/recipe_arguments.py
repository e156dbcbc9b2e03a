"""Recipes among the arguments of a trainer subcommand, and the options in the order given."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vmae_zoo.aliases import current_class_path
from vmae_zoo.compose import PARTS
from vmae_zoo.resources import find_recipe

CONFIG = ("-c", "--config")
GROUPS = tuple(f"--{part}" for part in PARTS)
CLASS_OPTIONS = ("model", "data", *(f"trainer.{name}" for name in ("callbacks", "logger", "plugins", "strategy")))


def with_recipes(arguments: list[str]) -> list[str]:
    """The arguments with the files of the recipes they name, which have to exist, and with today's names of classes."""
    found = list(arguments)
    for place, prefix, option, value in _with_values(arguments):
        name = option.removeprefix("--").removesuffix("+")
        if _names_recipe(option, value):
            found[place] = prefix + str(find_recipe(value))
        elif value and (name in CLASS_OPTIONS or name.endswith(".class_path")):
            found[place] = prefix + current_class_path(value)
    return found


def recipes_of(arguments: list[str]) -> list[Path]:
    """The files given by ``-c``, in order."""
    return [Path(name) for _, _, option, name in named_recipes(arguments) if option in CONFIG]


def options_of(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Names and values of all options but ``-c``, such as ``("data.batch_size", "8")``; "" if there is no value."""
    for _, _, option, value in _with_values(arguments):
        if option.startswith("--") and option not in CONFIG:
            yield option[2:], value


def as_options(group: str, settings: Mapping[str, Any]) -> list[str]:
    """Settings of a group as arguments, such as ``--data.batch_size=8``."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
    return [f"--{group}.{name}={text}" for name, text in texts.items()]


def named_recipes(arguments: list[str]) -> Iterator[tuple[int, str, str, str]]:
    """The recipes and parts that arguments name, as `_with_values` yields them."""
    return (found for found in _with_values(arguments) if _names_recipe(*found[2:]))


def _names_recipe(option: str, value: str) -> bool:
    return option in (*CONFIG, *GROUPS) and value.endswith((".yaml", ".yml"))


def _with_values(arguments: list[str]) -> Iterator[tuple[int, str, str, str]]:
    """Each option: index of the argument with its value, text before the value in it, option, value ("" if none)."""
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if equals:
            yield place, f"{option}=", option, value
        elif option.startswith("-"):
            following = next(iter(arguments[place + 1 : place + 2]), "")
            yield place + 1, "", option, "" if following.startswith("--") else following
