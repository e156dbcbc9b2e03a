"""``vmae-zoo compare``: settings, curves and probe results of runs side by side."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmae_zoo.cli.json_option import add_json, write_json

if TYPE_CHECKING:
    from vmae_zoo.viz.run_data import Curve, RunData


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs, or of probes")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also draw the curves, an .svg")
    add_json(parser, "settings, curves and probes")
    parser.epilog = "example: vmae-zoo compare runs/videomae/20260102-030405 runs/mgmae/20260102-040506 --out c.svg"


def run(args: argparse.Namespace) -> int:
    """Print what differs, the last number and shape of each curve, and every probe."""
    from vmae_zoo.viz.curves import charts, sparkline
    from vmae_zoo.viz.run_data import RunData, differences, interval

    if args.out and args.out.suffix != ".svg":
        raise ValueError(f"--out {args.out}: curves are drawn as .svg")
    runs = [RunData(folder) for folder in args.runs]
    names = labels_of(runs)
    width = max(map(len, names))
    for name, one in zip(names, runs, strict=True):
        tags = f"  tags: {', '.join(one.tags)}" if one.tags else ""
        print(f"{name:<{width}}  {one.folder}{tags}")
    changed = differences([one for one in runs if not one.is_probe])
    if changed:
        print("\nsettings that differ")
        numbers = [name.partition(" ")[0] for name, one in zip(names, runs, strict=True) if not one.is_probe]
        print_table([["", *numbers], *([name, *values] for name, values in changed.items())], "  ")
    rows = curves_of(runs)
    for title, curves in rows.items():
        print(f"\n{title}")
        for name, curve in curves.items():
            step, value = curve[-1]
            print(f"  {name:<{width}}  {value:>10.5g} at step {step:<6} {sparkline(curve)}")
    probed = [(name, result) for name, one in zip(names, runs, strict=True) for result in one.probes]
    if probed:
        print("\nprobes: top-1 with its 95 % interval")
        for name, result in probed:
            print(f"  {name}  {result['subcommand']} on {Path(result['data']).name}")
            scores = {"this encoder": result["scores"], **result["baselines"]}
            print_table([["", label, interval(each)] for label, each in scores.items()], "  ")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(charts(names, rows))
        print(f"\n{args.out}")
    if args.json:
        read = ("name", "tags", "summary", "settings", "curves", "probes")
        found = [{"run": str(one.folder), **{key: getattr(one, key) for key in read}} for one in runs]
        write_json(args.json, {"runs": found, "differences": changed})
    return 0


def labels_of(runs: list["RunData"]) -> list[str]:
    """Number and name of each run."""
    return [f"{number}. {one.name}" for number, one in enumerate(runs, start=1)]


def curves_of(runs: list["RunData"]) -> dict[str, dict[str, "Curve"]]:
    """The curves that runs have in common or alone: number -> label of the run -> curve."""
    from vmae_zoo.viz.run_data import plotted

    pairs = list(zip(labels_of(runs), runs, strict=True))
    return {title: {name: one.curves[title] for name, one in pairs if one.curves.get(title)} for title in plotted(runs)}


def print_table(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows, which all have the same number of cells, as aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(indent + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
