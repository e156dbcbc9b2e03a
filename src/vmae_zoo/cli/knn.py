"""``vmae-zoo knn``: top-1 accuracy of nearest neighbors among frozen features."""

import argparse
from typing import Any

from vmae_zoo.cli.probing import add_arguments, open_inputs, run_report
from vmae_zoo.setting_checks import check_least


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_arguments(parser)
    parser.add_argument("--pool", choices=("mean", "cls"), default="mean", help="feature of a clip (default mean)")
    parser.add_argument(
        "--k", type=int, nargs="+", metavar="K", help="numbers of neighbors (default 1 5 10 20 50 100 200)"
    )
    parser.add_argument("--temperature", type=float, default=0.07, metavar="T", help="of the votes (default 0.07)")
    parser.epilog = "example: vmae-zoo knn --checkpoint videomae_base.k400-1600 --data recipes/data/hmdb51.yaml"


def run(args: argparse.Namespace) -> int:
    """Probe, print, write the report."""
    check_least("--", 1, k=min(args.k or [1]))
    if args.temperature <= 0:
        raise ValueError(f"--temperature {args.temperature}: must be above 0")
    inputs = open_inputs(args)
    from vmae_zoo.evaluation.knn import NEIGHBORS, nearest_neighbors

    def probe(encoder: Any, train: Any, test: Any, classes: int, pool: str) -> tuple:
        found = nearest_neighbors(train, test, classes, args.k or NEIGHBORS, args.temperature, inputs.device)
        by_k = {
            str(k): {"top1": round(metrics.top1, 4), "left_out_top1": round(found.leave_one_out[k], 4)}
            for k, metrics in found.metrics.items()
        }
        return found.metrics[found.selected], {"chosen": {"k": found.selected}, "by_k": by_k}, found.confusion

    return run_report(args, "knn", inputs, probe, args.pool)
