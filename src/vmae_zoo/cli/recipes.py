"""``vmae-zoo recipes``: the recipes of the package; ``vmae-zoo recipes check`` builds each and takes a step."""

import argparse
from pathlib import Path

from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.resources import find_recipe, packaged_recipes, resource


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", nargs="?", choices=("list", "check"), default="list", help="default: list")
    parser.add_argument("names", nargs="*", metavar="RECIPE", help="check only these")
    add_json(parser, "the list")
    parser.epilog = "example: vmae-zoo recipes\n         vmae-zoo fit -c recipes/videomae.yaml"


def run(args: argparse.Namespace) -> int:
    """Print each recipe with its description and published result, or check the recipes."""
    if args.action == "check":
        return run_check(args)
    folder = resource("recipes")
    rows = [{"recipe": f"recipes/{path.relative_to(folder)}", **about(path)} for path in packaged_recipes()]
    for row in rows:
        print("\n    ".join(filter(None, (row["recipe"], row["about"], row["result"]))))
    write_json(args.json, rows)
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Check recipes, one line each; 1 if one fails."""
    from vmae_zoo.cli.recipe_check import check

    rows = []
    for recipe in map(find_recipe, args.names) if args.names else packaged_recipes():
        rows.append(check(recipe))
        millions = "" if rows[-1]["parameters"] is None else f"{rows[-1]['parameters'] / 1e6:.1f} M"
        print(f"{rows[-1]['recipe']:<48} {millions:>9}  {rows[-1]['error'] or 'ok'}", flush=True)
    write_json(args.json, rows)
    return int(any(row["error"] for row in rows))


def about(recipe: Path) -> dict[str, str]:
    """Of the opening comment of a recipe, what it is, and its hardware, time and result (from the third line on)."""
    comment = []
    for line in recipe.read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return {"about": comment[0] if comment else "", "result": " ".join(comment[2:])}
