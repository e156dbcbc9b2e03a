"""The record of a run in its folder: the names of its files, ``summary.json``, and the order of runs.

Nothing here imports torch. A damaged ``summary.json`` or ``recipe.yaml`` reads as an empty one: what counts is the
checkpoint beside it.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.compose import compose

RECIPE, SUMMARY, METRICS, LAST = "recipe.yaml", "summary.json", "metrics.csv", "checkpoints/last.ckpt"


def read_summary(folder: Path) -> dict[str, Any]:
    """Content of ``summary.json`` of a run folder; empty if there is none or if it is damaged."""
    try:
        found = json.loads((folder / SUMMARY).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Replace ``summary.json`` of a run folder."""
    with atomic_write(folder / SUMMARY) as partial:
        partial.write_text(json.dumps(summary, indent=2) + "\n")


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Rows of ``metrics.csv`` of a run folder, each with a "step"; damaged ones are left out."""
    try:
        with (folder / METRICS).open(newline="", errors="replace") as lines:
            rows = list(csv.DictReader(lines))
    except FileNotFoundError:
        return []
    named = ({name: value or "" for name, value in row.items() if name} for row in rows)
    return [row for row in named if row.get("step", "").isdigit()]


def read_run_recipe(folder: Path) -> dict[str, Any]:
    """Settings in ``recipe.yaml`` of a run folder, with today's names of classes; empty if it is missing or damaged."""
    try:
        return compose(folder / RECIPE)
    except (OSError, ValueError):
        return {}


def write_recipe(folder: Path, recipe: str, steps: int) -> None:
    """Replace ``recipe.yaml`` of a run folder; one with other settings is kept as ``recipe.until-step-N.yaml``.

    The first line has the number of the run. ``steps`` is the number of optimizer steps that were made with the recipe
    that is replaced.
    """
    file, number = folder / RECIPE, number_of(folder) or ""
    before = file.read_bytes() if file.is_file() else b""
    with atomic_write(file) as partial:
        partial.write_text(f"# run {number}\n{recipe}")
        if before and _without_comments(before) != _without_comments(recipe.encode()):
            names = (f"recipe.until-step-{steps}{f'.{copy}' if copy else ''}.yaml" for copy in range(1000))
            file.replace(next(folder / name for name in names if not (folder / name).exists()))


def _without_comments(recipe: bytes) -> list[bytes]:
    return [line for line in recipe.splitlines() if line.strip() and not line.startswith(b"#")]


def flat_settings(value: Any, class_name: Callable[[str], str], name: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of nested settings; a class stands for its group, and ``init_args`` is left out of names."""
    if not isinstance(value, Mapping) or not value:
        yield name, value
        return
    for key, inner in value.items():
        if key == "class_path":
            yield name, class_name(str(inner))
        elif key != "init_args" or inner:
            yield from flat_settings(inner, class_name, name if key == "init_args" else f"{name}.{key}".lstrip("."))


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a run."""
    return (folder / RECIPE).is_file() or (folder / SUMMARY).is_file()


def run_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint lies in; None for a file from elsewhere."""
    folder = checkpoint.resolve().parent.parent
    return folder if checkpoint.resolve().parent.name == "checkpoints" and is_run(folder) else None


def number_of(run: Path) -> int | None:
    """The number of a run, by its summary or by the first line of its recipe; None if neither has it."""
    if number := read_summary(run).get("number"):
        return number
    try:
        with (run / RECIPE).open(errors="replace") as recipe:
            found = re.match(r"# run (\d+)$", recipe.readline().strip())
    except OSError:
        return None
    return int(found[1]) if found else None


def in_order(folders: Iterable[Path]) -> list[Path]:
    """Run folders, oldest first: by their numbers, which no clock affects.

    Runs without a number (of older versions) come after the run that precedes them by name.
    """
    placed, number = [], 0
    for folder in sorted(folders, key=lambda folder: folder.name):
        number = number_of(folder) or number
        placed.append((number, folder.name, folder))
    return [folder for *_, folder in sorted(placed)]


def next_number(root: Path) -> int:
    """A number above those of all runs below ``root``, the folder ``runs``."""
    return 1 + max((number_of(file.parent) or 0 for file in root.glob(f"*/*/{SUMMARY}")), default=0)
