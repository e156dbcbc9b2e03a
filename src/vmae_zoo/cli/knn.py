"""``vmae-zoo knn``: top-1 of the nearest neighbours among frozen features."""

import argparse
from typing import Any

from vmae_zoo.cli.probing import add_arguments, run_probe


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_arguments(parser)
    parser.add_argument("--pool", choices=("mean", "cls"), default="mean", help="feature of a clip (default mean)")
    parser.add_argument(
        "--k", type=int, nargs="+", metavar="K", help="numbers of neighbours (default 1 5 10 20 50 100 200)"
    )
    parser.add_argument("--temperature", type=float, default=0.07, metavar="T", help="of the votes (default 0.07)")
    parser.epilog = "example: vmae-zoo knn --checkpoint videomae_base.k400-1600 --data recipes/data/hmdb51.yaml"


def run(args: argparse.Namespace) -> int:
    """Probe, print, write the report."""
    from vmae_zoo.evaluation.knn import NEIGHBOURS, nearest_neighbours

    if (args.k and min(args.k) < 1) or args.temperature <= 0:
        raise ValueError("--k counts from 1 and --temperature is above 0")

    def probe(model: Any, train: Any, test: Any, classes: int, seed: int, device: str) -> tuple:
        found = nearest_neighbours(train, test, classes, args.k or NEIGHBOURS, args.temperature, device)
        by_k = {
            str(k): {"top1": round(s.top1, 4), "left_out_top1": round(found.left_out[k], 4)}
            for k, s in found.scores.items()
        }
        return found.scores[found.chosen], {"chosen": {"k": found.chosen}, "by_k": by_k}, found.confusion

    return run_probe(args, "knn", probe, args.pool)
