"""Trainer arguments: which file a recipe argument means, and errors in one line."""

from lightning.pytorch.cli import LightningArgumentParser

from vmae_zoo.packaged import find_recipe

RECIPE_OPTIONS = ("-c", "--config", "--data", "--model", "--trainer")


class RecipeParser(LightningArgumentParser):
    """Lightning's parser, with errors that fit a line."""

    def error(self, message: str, ex: Exception | None = None):  # type: ignore[override]
        """Print ``message`` without a hundred lines of usage before it; exit code 2."""
        if not self.exit_on_error:
            super().error(message, ex)
        self.exit(2, f"vmae-zoo: error: {' '.join(message.split())}\n")


def with_recipes(arguments: list[str]) -> list[str]:
    """The arguments, recipes named in them replaced by their files."""
    found = list(arguments)
    for place, argument in enumerate(found):
        option, equals, value = argument.partition("=")
        if option not in RECIPE_OPTIONS:
            continue
        if equals and value.endswith((".yaml", ".yml")):
            found[place] = f"{option}={find_recipe(value)}"
        elif not equals and found[place + 1 : place + 2] and found[place + 1].endswith((".yaml", ".yml")):
            found[place + 1] = str(find_recipe(found[place + 1]))
    return found


def first_recipe(arguments: list[str]) -> str | None:
    """The file of the first ``-c``; None without one."""
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in ("-c", "--config"):
            return value if equals else next(iter(arguments[place + 1 : place + 2]), None)
    return None
