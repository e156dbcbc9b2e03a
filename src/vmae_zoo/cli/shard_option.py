"""``--shard I/N``: one part of a long job, so that a job array does all of it."""

import argparse
import re


def add_shard(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument("--shard", metavar="I/N", help="process part I of N only, I from 0 to N - 1 (for job arrays)")


def part_of(given: str | None) -> tuple[int, int]:
    """Number of the part, and how many there are; 0 and 1 where none is given."""
    found = re.fullmatch(r"(\d+)/(\d+)", given or "0/1")
    if found is None or int(found[1]) >= int(found[2]):
        raise ValueError(f"--shard {given} is not I/N with I from 0 to N - 1, such as 0/64")
    return int(found[1]), int(found[2])
