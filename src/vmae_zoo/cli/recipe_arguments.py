"""Recipes among the arguments of a trainer subcommand, and the options in the order given."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vmae_zoo.aliases import current_class_path
from vmae_zoo.cli.compose import PARTS
from vmae_zoo.resources import find_recipe

CONFIG = ("-c", "--config")


def with_recipes(arguments: list[str]) -> list[str]:
    """The arguments with the files of the recipes they name, which have to exist, and with today's names of classes."""
    found = [_current(argument) for argument in arguments]
    for place, equals, option, name in _named_recipes(arguments):
        path = str(find_recipe(name))
        found[place] = f"{option}={path}" if equals else path
    return found


def _current(argument: str) -> str:
    option, equals, value = argument.rpartition("=")
    return f"{option}{equals}{current_class_path(value)}"


def recipes_of(arguments: list[str]) -> list[Path]:
    """The files given by ``-c``, in order."""
    return [Path(name) for _, _, option, name in _named_recipes(arguments) if option in CONFIG]


def options_of(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Names and values of all options but ``-c``, such as ``("data.batch_size", "8")``; "" if there is no value."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if not name.startswith("--") or name in CONFIG:
            continue
        following = next(iter(arguments[place + 1 : place + 2]), "")
        yield name[2:], value if equals else "" if following.startswith("--") else following


def as_options(group: str, settings: Mapping[str, Any]) -> list[str]:
    """Settings of a group as arguments, such as ``--data.batch_size=8``."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
    return [f"--{group}.{name}={text}" for name, text in texts.items()]


def _named_recipes(arguments: list[str]) -> Iterator[tuple[int, bool, str, str]]:
    """Where a recipe or a part is named: (index of the argument, whether as ``option=name``, option, name)."""
    for place, argument in enumerate(arguments):
        option, equals, name = argument.partition("=")
        if option not in (*CONFIG, *(f"--{part}" for part in PARTS)):
            continue
        if not equals:
            place, name = place + 1, next(iter(arguments[place + 1 : place + 2]), "")
        if name.endswith((".yaml", ".yml")):
            yield place, bool(equals), option, name
