"""Trainer arguments: which file a recipe argument means, and which numbers were given in the wrong place."""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from vmae_zoo.cli.compose import PARTS, compose
from vmae_zoo.resources import find_recipe

CONFIG = ("-c", "--config")


class RecipeParser(LightningArgumentParser):
    """Lightning's parser, reading recipes as `vmae_zoo.cli.compose` does."""

    def parse_path(self, path: str | os.PathLike, *args: Any, **settings: Any) -> Namespace:
        """Parse a recipe."""
        return self.parse_string(json.dumps(compose(Path(path))), *args, path=path, **settings)


def with_recipes(arguments: list[str]) -> list[str]:
    """The arguments, recipes named in them replaced by their files; ``ValueError`` for one that does not exist."""
    found = list(arguments)
    for place, equals, option, name in _named_recipes(arguments):
        path = str(find_recipe(name))
        found[place] = f"{option}={path}" if equals else path
    return found


def recipes_of(arguments: list[str]) -> list[Path]:
    """The files given by ``-c``, in order."""
    return [Path(name) for _, _, option, name in _named_recipes(arguments) if option in CONFIG]


def _named_recipes(arguments: list[str]) -> Iterator[tuple[int, bool, str, str]]:
    """Where a recipe or a part is named: (place of the argument, whether as ``option=name``, option, name)."""
    for place, argument in enumerate(arguments):
        option, equals, name = argument.partition("=")
        if option not in (*CONFIG, *(f"--{part}" for part in PARTS)):
            continue
        if not equals:
            place, name = place + 1, next(iter(arguments[place + 1 : place + 2]), "")
        if name.endswith((".yaml", ".yml")):
            yield place, bool(equals), option, name


def refuse_linked(arguments: list[str], links: dict[str, str]) -> None:
    """Refuse a number given to the model that the data settles: it would be overwritten silently.

    Args:
        arguments: of the command line.
        links: where the number belongs, and which argument of the model follows it.
    """
    given = {argument.partition("=")[0].removeprefix("--model.").removeprefix("init_args.") for argument in arguments}
    for recipe in recipes_of(arguments):
        model = compose(recipe).get("model")
        given |= set(model.get("init_args") or {}) if isinstance(model, dict) else set()
    for source, target in links.items():
        if target in given:
            raise ValueError(f"the model's {target} follows {source}: set that one")


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    """Every setting of a parser and of its verbs, such as ``data.batch_size``."""
    found: dict[str, None] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                found |= dict.fromkeys(options_of(verb))
        found |= dict.fromkeys(option.lstrip("-") for option in action.option_strings)
    return list(found)
