"""``python -m benchmarks.faults``: training runs under faults.

Small real runs on the embedded clips are killed, signaled, fed with damaged data and put on a full disk. Each must end
with the weights, moments and position in the data of an undisturbed run, bit for bit.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks.command_line import main
from benchmarks.fault_harness import STEPS, FaultHarness
from benchmarks.fault_scenarios import SCENARIOS
from benchmarks.scenarios import chosen, run_scenarios


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "faults", nargs="*", default=[], metavar="FAULT", help=f"of {', '.join(SCENARIOS)} (default: all)"
    )
    parser.add_argument("--kills", type=int, default=50, help="number of kills (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table to this file")
    parser.epilog = "example: python -m benchmarks.faults kill signals --kills 10"


def run(args: argparse.Namespace) -> int:
    """Run the faults and print a table; 1 if a promise is broken."""
    names = chosen("fault", args.faults, SCENARIOS)
    if os.name != "posix":
        raise ValueError("faults need kill -9 and a fork server, which Windows does not have")
    with tempfile.TemporaryDirectory(prefix="faults-") as work:
        harness = FaultHarness(Path(work))
        found = run_scenarios(names, lambda name: SCENARIOS[name](harness, args.kills, args.seed))
    if args.json:
        machine = {"machine": platform.machine(), "cores": os.cpu_count(), "steps": STEPS, "seed": args.seed}
        rows = [{"fault": o.name, "promise": o.state, "detail": o.detail, "seconds": o.seconds} for o in found]
        args.json.write_text(json.dumps({**machine, "faults": rows}, indent=2) + "\n")
    return int(any(outcome.state == "broken" for outcome in found))


if __name__ == "__main__":
    sys.exit(main("faults", __doc__, configure, run))
