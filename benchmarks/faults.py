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
import time
from pathlib import Path

from benchmarks.command_line import main
from benchmarks.fault_harness import STEPS, FaultError, FaultHarness
from benchmarks.fault_injection import NotPossibleError
from benchmarks.fault_scenarios import SCENARIOS


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
    unknown = [name for name in args.faults if name not in SCENARIOS]
    if unknown:
        raise ValueError(f"fault {unknown[0]!r} is not known: choose from {', '.join(SCENARIOS)}")
    if os.name != "posix":
        raise ValueError("faults need kill -9 and a fork server, which Windows does not have")
    rows = []
    with tempfile.TemporaryDirectory(prefix="faults-") as work:
        harness = FaultHarness(Path(work))
        for name in args.faults or SCENARIOS:
            begin = time.monotonic()
            try:
                state, detail = "kept", SCENARIOS[name](harness, args.kills, args.seed)
            except NotPossibleError as reason:
                state, detail = "skipped", str(reason)
            except FaultError as error:
                state, detail = "broken", str(error)
            rows.append({"fault": name, "promise": state, "detail": detail, "seconds": round(time.monotonic() - begin)})
            print(f"{name:14} {state:8} {rows[-1]['seconds']:5} s  {detail}", flush=True)
    if args.json:
        machine = {"machine": platform.machine(), "cores": os.cpu_count(), "steps": STEPS, "seed": args.seed}
        args.json.write_text(json.dumps({**machine, "faults": rows}, indent=2) + "\n")
    return int(any(row["promise"] == "broken" for row in rows))


if __name__ == "__main__":
    sys.exit(main("faults", __doc__, configure, run))
