"""``--checkpoint`` and ``--method``: which weights to load, and the class of a method of your own."""

import argparse
from typing import Any


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add both arguments."""
    parser.add_argument(
        "--checkpoint", required=True, metavar="NAME_OR_PATH", help="a name of `vmae-zoo list`, a file or a folder"
    )
    add_method(parser)


def add_method(parser: argparse.ArgumentParser) -> None:
    """Add ``--method``."""
    parser.add_argument(
        "--method", metavar="CLASS", help="class of the checkpoint, if it is your own: my_package.MyMAE"
    )


def check_checkpoint(args: argparse.Namespace, task: str = "encoder") -> None:
    """``ValueError`` if there is no such checkpoint; nothing is read or downloaded."""
    from vmae_zoo.zoo.resolve import find_source

    find_source(args.checkpoint, task)


def load_checkpoint(args: argparse.Namespace, task: str = "encoder") -> Any:
    """The model that the arguments name, for a task of `vmae_zoo.load_pretrained`."""
    from vmae_zoo.zoo import load_pretrained

    return load_pretrained(args.checkpoint, task=task, method=args.method)
