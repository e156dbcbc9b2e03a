"""``vmae-zoo runs``: the runs below a folder with their state, newest last."""

import argparse
import shutil
import textwrap
from pathlib import Path
from typing import Any

from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.run_lock import read_writer
from vmae_zoo.run_record import LAST, SUMMARY, in_order, read_summary

MOST_SETTINGS = 8  # shown of each run


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs"), help="default: runs")
    add_json(parser, "the list")
    parser.epilog = "example: vmae-zoo runs"


def run(args: argparse.Namespace) -> int:
    """Print a line for each run."""
    rows = [read(run) for run in in_order(summary.parent for summary in args.folder.glob(f"*/*/{SUMMARY}"))]
    if not rows:
        raise ValueError(f"no run below {args.folder}: give the folder that `fit` wrote its runs to")
    add_differences(rows)
    width, columns = max(len(row["run"]) for row in rows), shutil.get_terminal_size().columns
    for row in rows:
        losses = row["losses"]
        numbers = next((f"{name} {losses[name]:.4g}" for name in ("loss/val", "loss/train") if name in losses), "")
        kept = f"  {row['reason']}" if row["reason"] else ""
        kept += "" if row["checkpoint"] else "  no checkpoint"
        print(f"{row['run']:<{width}}  {row['state']:<11} {row['steps'] or 0:>7} steps  {numbers}{kept}")
        for line in details(row):
            print(textwrap.indent(textwrap.fill(line, columns - 4, break_on_hyphens=False), " " * 4))
    write_json(args.json, rows)
    return 0


def add_differences(rows: list[dict[str, Any]]) -> None:
    """Add name, tags, probes and, among the runs of a recipe, the settings that differ."""
    from vmae_zoo.viz.run_data import RunData, differences, interval

    groups: dict[str, list[tuple[dict[str, Any], RunData]]] = {}
    for row in rows:
        folder = Path(row["run"])
        groups.setdefault(folder.parent.name, []).append((row, RunData(folder)))
    for pairs in groups.values():
        changed = differences([one for _, one in pairs])
        for place, (row, one) in enumerate(pairs):
            row["name"], row["tags"] = one.name, one.tags
            row["settings"] = {name: values[place] for name, values in changed.items()}
            row["probes"] = [
                f"{result['subcommand']} on {Path(result['data']).name}: top-1 {interval(result['scores'])}"
                for result in one.probes
            ]


def details(row: dict[str, Any]) -> list[str]:
    """Lines below a run: its name, what differs from the other runs of its recipe, and its probes."""
    given = row["name"] != "/".join(Path(row["run"]).resolve().parts[-2:])
    named = [f"{row['name'] if given else ''}{'  tags: ' if row['tags'] else ''}{', '.join(row['tags'])}".strip()]
    settings = [f"{name} {value}" for name, value in row["settings"].items()]
    more = [f"and {len(settings) - MOST_SETTINGS} more: vmae-zoo compare"] if len(settings) > MOST_SETTINGS else []
    return [line for line in (*named, ", ".join([*settings[:MOST_SETTINGS], *more]), *row["probes"]) if line]


def read(run: Path) -> dict[str, Any]:
    """State, steps, losses and checkpoint of a run, from its summary."""
    keys = read_summary(run)
    metrics = keys.get("metrics") or {}
    checkpoint = run / LAST
    return {
        "run": str(run),
        "state": state(run, keys.get("state")),
        "reason": keys.get("reason"),
        "steps": keys.get("steps"),
        "seconds": keys.get("seconds"),
        "losses": {name: value for name, value in metrics.items() if name.startswith("loss/") and value is not None},
        "checkpoint": str(checkpoint) if checkpoint.exists() else None,
    }


def state(run: Path, written: str | None) -> str:
    """The state of a run: what its summary states, or "dead" if the process that should change it is gone."""
    writer = read_writer(run)
    if written in ("starting", "running") and not (writer and writer.is_alive):
        return "dead"
    return written or "damaged"
