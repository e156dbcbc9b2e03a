"""Files that travel with the package: the recipes and the table of checkpoints.

A wheel holds them beside the package; in a checkout (editable install) they lie at its root.
"""

import difflib
import itertools
from pathlib import Path

_HOMES = (Path(__file__).parent, Path(__file__).parents[2])


def resource(name: str) -> Path:
    """The packaged file or folder of this name: ``"recipes"`` or ``"checkpoints.yaml"``."""
    for home in _HOMES:
        if (home / name).exists():
            return home / name
    raise FileNotFoundError(
        f"{name} is missing beside {_HOMES[0]}: repair by `pip install --force-reinstall --no-deps vmae-zoo`"
    )


def packaged_recipes() -> list[Path]:
    """Every packaged recipe that a command runs (not the ``data/`` and ``trainer/`` parts), simple ones first."""
    folder = resource("recipes")
    return [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("paper/*.yaml"))]


def find_recipe(name: str | Path) -> Path:
    """The file that a recipe argument names: the user's own file, else the packaged one.

    Args:
        name: a path; when there is no such file, ``recipes/mgmae.yaml``, ``mgmae.yaml`` and ``data/demo.yaml`` name
            packaged files.

    Raises:
        ValueError: neither exists; names the closest packaged recipes.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    folder = resource("recipes")
    inside = Path(*itertools.dropwhile(lambda part: part in ("..", "recipes"), path.parts))
    if (folder / inside).is_file():
        return folder / inside
    stems = {recipe.stem: f"recipes/{recipe.relative_to(folder)}" for recipe in sorted(folder.rglob("*.yaml"))}
    close = [stems[stem] for stem in difflib.get_close_matches(inside.stem, stems, n=3)]
    hint = f"did you mean {' or '.join(close)}?" if close else "`vmae-zoo recipes` lists the packaged ones"
    raise ValueError(f"no recipe {name}, neither below {Path.cwd()} nor in the package: {hint}")
