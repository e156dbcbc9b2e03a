"""Command line of a benchmark: ``python -m benchmarks.NAME``."""

import argparse
from collections.abc import Callable, Sequence

from vmae_zoo.cli.errors import report_errors


def main(
    name: str,
    description: str | None,
    configure: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the arguments and run a benchmark.

    Args:
        name: of the module in ``benchmarks``.
        description: printed by ``--help``; usually the module's docstring.
        configure: adds the arguments, and an example as ``parser.epilog``.
        run: measures and prints; returns the exit code.
        argv: arguments; None: those of this process.

    Returns:
        The exit code: 0 on success, 1 if the measurement failed, 2 if the command line is wrong.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    configure(parser)
    return report_errors(lambda: run(parser.parse_args(argv)))
