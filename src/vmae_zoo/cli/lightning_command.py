"""The ``lightning`` command.

Lightning 2.6 has no such command. This one runs the trainer subcommands; any other goes to an installed package
with a ``lightning`` command of its own. Nothing large is imported before that is decided.
"""

import re
import sys
from importlib.metadata import entry_points

from vmae_zoo.cli.errors import print_error
from vmae_zoo.cli.main import TRAINER_SUBCOMMANDS
from vmae_zoo.cli.main import main as vmae_zoo_main

OWNERS = ("lightning-sdk", "litserve")  # in this order: litserve's command installs lightning-sdk


def main() -> int:
    """Run ``lightning ...``; returns the exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in TRAINER_SUBCOMMANDS:
        return vmae_zoo_main()
    scripts = {
        _normalize(script.dist.name): script
        for script in entry_points(group="console_scripts", name="lightning")
        if script.dist
    }
    for owner in OWNERS:
        if owner in scripts:
            return scripts[owner].load()() or 0
    if name in ("-h", "--help", "--version"):
        return vmae_zoo_main()
    return print_error(
        f"`lightning {name}`: expected one of {', '.join(TRAINER_SUBCOMMANDS)}. Other subcommands of `lightning` come "
        "with `pip install lightning-sdk`; `vmae-zoo --help` lists those of vmae_zoo",
        code=2,
    )


def _normalize(name: str) -> str:
    """A distribution's name as PEP 503 compares it (metadata may spell it ``lightning_sdk``)."""
    return re.sub(r"[-_.]+", "-", name).lower()
