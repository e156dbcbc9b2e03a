"""The ``lightning`` command.

Lightning 2.6 ships none, so this package does: trainer verbs run here, any other verb goes to whichever installed
package brings a ``lightning`` command of its own. Nothing heavy is imported before that is decided.
"""

import re
import sys
from importlib.metadata import entry_points

from vmae_zoo.cli.main import TRAINER_VERBS, failed
from vmae_zoo.cli.main import main as zoo

OWNERS = ("lightning-sdk", "litserve")  # in this order: litserve's own command installs lightning-sdk


def main() -> int:
    """Run ``lightning ...``; the exit code."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in TRAINER_VERBS or verb.startswith(("-c", "--config")):
        return zoo()
    scripts = {
        _normal(script.dist.name): script
        for script in entry_points(group="console_scripts", name="lightning")
        if script.dist
    }
    for owner in OWNERS:
        if owner in scripts:
            return scripts[owner].load()() or 0
    if verb in ("-h", "--help", "--version"):
        return zoo()
    verbs = ", ".join(TRAINER_VERBS)
    return failed(
        f"`lightning {verb}` is not one of {verbs}: others come with `pip install lightning-sdk`, those of vmae_zoo "
        "are listed by `vmae-zoo --help`",
        code=2,
    )


def _normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it: metadata says ``lightning_sdk``."""
    return re.sub(r"[-_.]+", "-", name).lower()
