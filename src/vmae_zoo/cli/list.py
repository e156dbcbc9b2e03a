"""``vmae-zoo list``: the table of checkpoints."""

import argparse

from vmae_zoo.cli.compare import print_table
from vmae_zoo.cli.json_option import add_json, write_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pattern", nargs="?", default="*", help="names to list, such as 'videomae*' or '*.ssv2-*'")
    for name, what in (("method", "videomae, mgmae, ..."), ("size", "small, base, ..."), ("data", "k400, ssv2, ...")):
        parser.add_argument(f"--{name}", metavar=name.upper(), help=f"only this {name}: {what}")
    parser.add_argument("--task", choices=("pretrain", "classify", "encoder"), help="only checkpoints for this task")
    parser.add_argument("--commercial", action="store_true", help="only licences that allow commercial use")
    add_json(parser, "the complete entries")
    parser.epilog = "example: vmae-zoo list 'videomae*' --size base --task pretrain"


def run(args: argparse.Namespace) -> int:
    """Print a table."""
    from dataclasses import asdict

    from vmae_zoo.zoo import registry

    found = [registry.find(name) for name in registry.list_pretrained(args.pattern)]
    for key in ("method", "size", "data", "task"):
        found = [entry for entry in found if vars(args)[key] in (None, getattr(entry, key))]
    if args.commercial:
        found = [entry for entry in found if entry.commercial]
    rows = [("NAME", "TASK", "PARAMETERS", "TOP-1", "LICENCE", "SOURCE")]
    for entry in found:
        best = next((f"{metric['top1']:g} {metric['data']}" for metric in entry.metrics if "top1" in metric), "")
        rows.append((entry.name, entry.task, f"{entry.parameters / 1e6:.1f} M", best, entry.licence, entry.location))
    print_table(rows)
    print(f"{len(found)} checkpoints; metrics as published, in percent")
    write_json(args.json, [asdict(entry) for entry in found])
    return 0
