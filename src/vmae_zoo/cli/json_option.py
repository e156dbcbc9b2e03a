"""``--json FILE``: what a subcommand prints, as JSON."""

import argparse
import json
from pathlib import Path
from typing import Any


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the argument; ``what`` names what is written."""
    parser.add_argument("--json", metavar="FILE", type=Path, help=f"also write {what} to this file")


def write_json(file: Path | None, value: Any) -> None:
    """Write a value, indented, if there is a file to write it to; its folder is created."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value, indent=2) + "\n")
