"""``vmae-zoo runs``: the runs below a folder with their state, newest last."""

import argparse
import json
from pathlib import Path
from typing import Any

from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.cli.run_folders import LAST, SUMMARY


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs"), help="default: runs")
    add_json(parser, "the list")
    parser.epilog = "example: vmae-zoo runs"


def run(args: argparse.Namespace) -> int:
    """Print a line for each run."""
    rows = [read(summary) for summary in sorted(args.folder.glob(f"*/*/{SUMMARY}"), key=lambda file: file.parent.name)]
    if not rows:
        raise ValueError(f"no run below {args.folder}: give the folder that `fit` wrote its runs to")
    width = max(len(row["run"]) for row in rows)
    for row in rows:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in row["losses"].items())
        kept = "" if row["checkpoint"] else "  no checkpoint"
        print(f"{row['run']:<{width}}  {row['state'] or '?':<12} {row['steps'] or 0:>8} steps  {numbers}{kept}")
    write_json(args.json, rows)
    return 0


def read(summary: Path) -> dict[str, Any]:
    """State, steps, losses and checkpoint of a run, from its summary."""
    keys = json.loads(summary.read_text())
    losses = {name: value for name, value in keys.get("metrics", {}).items() if name.startswith("loss/")}
    checkpoint = summary.parent / LAST
    return {
        "run": str(summary.parent),
        "state": keys.get("state"),
        "steps": keys.get("steps"),
        "seconds": keys.get("seconds"),
        "losses": losses,
        "checkpoint": str(checkpoint) if checkpoint.exists() else None,
    }
