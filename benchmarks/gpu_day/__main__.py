"""``python -m benchmarks.gpu_day``: measurements of one GPU, each result appended to ``OUT/results.jsonl``."""

import argparse
import os
import sys
import traceback
from pathlib import Path

from benchmarks.command_line import main
from benchmarks.gpu_day.attention import bench_attention
from benchmarks.gpu_day.correctness import check_correctness
from benchmarks.gpu_day.end_to_end import measure_fit, measure_out_of_memory
from benchmarks.gpu_day.environment import measure_environment
from benchmarks.gpu_day.kernels import profile_steps
from benchmarks.gpu_day.raft import bench_raft
from benchmarks.gpu_day.session import Session
from benchmarks.gpu_day.summary import write_summary
from benchmarks.gpu_day.training_steps import (
    bench_command,
    bench_compiled,
    bench_eager,
    bench_large,
    bench_more_compiled,
)
from benchmarks.gpu_day.variants import bench_variants

STEPS = {
    "env": measure_environment,
    "correct": check_correctness,
    "bench": bench_eager,
    "bench_compile": bench_compiled,
    "fit": measure_fit,
    "profile": profile_steps,
    "attention": bench_attention,
    "oom": measure_out_of_memory,
    "variants": bench_variants,
    "raft": bench_raft,
    "large": bench_large,
    "cli": bench_command,
    "compile_extra": bench_more_compiled,
    "summary": write_summary,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("steps", nargs="+", choices=STEPS, metavar="STEP", help=", ".join(STEPS))
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT", "gpu_day_out"), metavar="DIR", help="results")
    parser.add_argument("--limit", type=float, default=600, metavar="S", help="seconds per step (default 600)")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on the CPU: does the program work?")
    parser.epilog = "example: python -m benchmarks.gpu_day env bench summary --out gpu_day_out"


def run(args: argparse.Namespace) -> int:
    """Run the steps; 1 if one of them fails."""
    failed = False
    for name in args.steps:
        session = Session(args.out, name, args.limit, args.smoke)
        try:
            STEPS[name](session)
        except Exception:
            session.record("step_failed", error=traceback.format_exc()[-2000:])
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main("gpu_day", __doc__, configure, run))
