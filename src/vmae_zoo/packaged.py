"""Files that travel with the package: the recipes and the table of checkpoints.

A wheel holds them beside the package; in a checkout (editable install) they lie at its root.
"""

import difflib
from pathlib import Path

_HOMES = (Path(__file__).parent, Path(__file__).parents[2])


def packaged(name: str) -> Path:
    """The packaged file or folder of this name: ``"recipes"`` or ``"checkpoints.yaml"``."""
    for home in _HOMES:
        if (home / name).exists():
            return home / name
    raise FileNotFoundError(
        f"{name} is not beside the package ({_HOMES[0]}): reinstall it with `pip install --force-reinstall --no-deps vmae-zoo`"
    )


def packaged_recipes() -> list[Path]:
    """Every packaged recipe that a command runs (not the ``data/`` and ``trainer/`` parts), simple ones first."""
    folder = packaged("recipes")
    return [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("paper/*.yaml"))]


def find_recipe(name: str | Path) -> Path:
    """The file that a recipe argument names: the user's own file, else the packaged one.

    Args:
        name: a path; when there is no such file, ``recipes/mgmae.yaml``, ``mgmae.yaml`` and ``data/demo.yaml`` name packaged files.

    Raises:
        ValueError: neither exists; names the closest packaged recipes.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    folder = packaged("recipes")
    inside = path.relative_to("recipes") if path.parts[:1] == ("recipes",) else path
    if not path.is_absolute() and ".." not in path.parts and (folder / inside).is_file():
        return folder / inside
    names = {str(recipe.relative_to(folder)): recipe.name for recipe in sorted(folder.rglob("*.yaml"))}
    close = [
        known for known, last in names.items() if last in difflib.get_close_matches(inside.name, names.values(), n=3)
    ]
    hint = f"the closest packaged recipes are {', '.join(f'recipes/{known}' for known in close)}; " if close else ""
    raise ValueError(
        f"no recipe {name}, neither in {Path.cwd()} nor in the package: {hint}`vmae-zoo recipes` lists them"
    )
