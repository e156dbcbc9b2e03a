"""``vmae-zoo bench``: the cost of reading and training on this machine."""

import argparse
from importlib import import_module

from vmae_zoo.cli.errors import UsageError
from vmae_zoo.cli.json_option import add_json, write_json

BENCHMARKS = {
    "data": "clips per second from videos, and how many a GPU needs",
    "train": "a training step, paired with the VideoMAE of transformers",
}

MOVED = {  # earlier name: module in ``benchmarks/``
    "corruption": "corruption",
    "damage": "corruption",
    "faults": "faults",
    "following": "mask_tracking",
    "guidance": "guidance",
    "mask_tracking": "mask_tracking",
    "memory": "memory",
    "scaling": "scaling",
}


class _Parser(argparse.ArgumentParser):
    """Imports the module of a benchmark only if it is chosen."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Add the arguments, then parse."""
        name = self.prog.split()[-1]
        if name in MOVED:
            raise UsageError(
                f"`bench {name}` has moved: run `python -m benchmarks.{MOVED[name]}` in a checkout of the repository"
            )
        module = import_module(f"vmae_zoo.bench.{name}")
        module.configure(self)
        add_json(self, "the numbers")
        self.set_defaults(measure=module.run)
        return super().parse_known_args(args, namespace)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add a subparser per benchmark."""
    subparsers = parser.add_subparsers(required=True, metavar="{" + ",".join(BENCHMARKS) + "}", parser_class=_Parser)
    for name, summary in BENCHMARKS.items():
        subparsers.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
    for name in MOVED:
        subparsers.add_parser(name)  # without help text: not listed
    parser.epilog = "example: vmae-zoo bench data /data/hmdb51"


def run(args: argparse.Namespace) -> int:
    """Run the benchmark."""
    write_json(args.json, args.measure(args))
    return 0
