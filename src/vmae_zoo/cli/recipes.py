"""``vmae-zoo recipes``: what can be run without writing a file."""

import argparse
import json
from pathlib import Path

from vmae_zoo.packaged import packaged, packaged_recipes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the list to this file")
    parser.epilog = "example: vmae-zoo recipes\n         vmae-zoo fit -c recipes/videomae.yaml"


def run(args: argparse.Namespace) -> int:
    """Print each recipe with the first line of its comment."""
    folder = packaged("recipes")
    rows = [{"recipe": f"recipes/{path.relative_to(folder)}", "about": about(path)} for path in packaged_recipes()]
    width = max((len(row["recipe"]) for row in rows), default=0)
    for row in rows:
        print(f"{row['recipe']:<{width}}  {row['about']}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def about(recipe: Path) -> str:
    """The first comment line of a recipe, without the ``#`` and without the file's own name before a colon."""
    first = next((line for line in recipe.read_text().splitlines() if line.startswith("#")), "").lstrip("# ")
    name, colon, rest = first.partition(": ")
    return rest if colon and name.endswith(".yaml") else first
