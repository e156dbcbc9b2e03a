"""``vmae-zoo attentive-probe``: top-1 of a learnt query over frozen tokens."""

import argparse
from typing import Any

from vmae_zoo.cli.probing import add_arguments, run_probe


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_arguments(parser)
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the training set (default 20, and 300 steps)"
    )
    parser.epilog = (
        "example: vmae-zoo attentive-probe --checkpoint videomae_base.k400-1600 --data recipes/data/hmdb51.yaml"
    )


def run(args: argparse.Namespace) -> int:
    """Probe, print, write the report."""
    from dataclasses import replace

    from vmae_zoo.evaluation import linear_probe
    from vmae_zoo.evaluation.attentive_probe import SWEEP, fit
    from vmae_zoo.evaluation.probe import choose, judge

    sweep = replace(SWEEP, seed=args.seed, **({"epochs": args.epochs, "least_steps": 0} if args.epochs else {}))

    def probe(model: Any, train: Any, test: Any, classes: int, seed: int, device: str) -> tuple:
        if train.values[0].ndim == 2:  # a baseline: a single token leaves nothing to attend to
            probed = judge(choose(linear_probe.fit, train, classes, linear_probe.LBFGSSweep(seed=seed), device), test)
        else:
            probed = judge(choose(fit, train, classes, sweep, device), test)
        found = probed.asdict()
        return probed.scores, {name: found[name] for name in ("chosen", "held_back_top1", "tried")}, probed.confusion

    return run_probe(args, "attentive-probe", probe, "tokens")
