"""``vmae-zoo bench``: what reading, training and motion guidance cost on this machine."""

import argparse
from importlib import import_module

WHAT = {
    "data": "clips a second from videos, and what a GPU wants",
    "train": "a training step, beside transformers'",
}


class _Parser(argparse.ArgumentParser):
    """Asks its module for the arguments once it is chosen, so that nothing is imported for the others."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Add the arguments, then parse."""
        module = import_module(f"vmae_zoo.bench.{self.prog.split()[-1]}")
        module.configure(self)
        self.set_defaults(measure=module.run)
        return super().parse_known_args(args, namespace)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what can be measured."""
    chosen = parser.add_subparsers(required=True, metavar="{" + ",".join(WHAT) + "}", parser_class=_Parser)
    for name, about in WHAT.items():
        chosen.add_parser(name, help=about, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.epilog = "example: vmae-zoo bench data /data/hmdb51"


def run(args: argparse.Namespace) -> int:
    """Measure one."""
    return args.measure(args)
