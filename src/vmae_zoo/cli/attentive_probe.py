"""``vmae-zoo attentive-probe``: top-1 accuracy of a learned query over frozen tokens."""

import argparse
from typing import Any

from vmae_zoo.cli.linear_probe import lbfgs_probe
from vmae_zoo.cli.probing import add_arguments, open_inputs, run_report
from vmae_zoo.setting_checks import check_least


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_arguments(parser)
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the training set (default 20, at least 300 steps)"
    )
    parser.add_argument(
        "--blocks",
        type=int,
        default=1,
        metavar="N",
        help="attention blocks of a head: 1 as in V-JEPA (default), 4 as in V-JEPA 2; 20 heads if above 1",
    )
    parser.epilog = (
        "example: vmae-zoo attentive-probe --checkpoint videomae_base.k400-1600 --data recipes/data/hmdb51.yaml"
    )


def run(args: argparse.Namespace) -> int:
    """Probe, print, write the report."""
    check_least("--", 1, blocks=args.blocks)
    inputs = open_inputs(args)
    from dataclasses import replace
    from functools import partial

    from vmae_zoo.evaluation.attentive_probe import SWEEP, VJEPA2_SWEEP, fit
    from vmae_zoo.evaluation.probe import evaluate, select

    fit_heads = partial(fit, blocks=args.blocks, segments=args.clips)
    sweep = SWEEP if args.blocks == 1 else VJEPA2_SWEEP
    sweep = replace(sweep, seed=args.seed, **({"epochs": args.epochs, "min_steps": 0} if args.epochs else {}))
    linear_probe = lbfgs_probe(args.seed, inputs.device)

    def probe(encoder: Any, train: Any, test: Any, classes: int, pool: str) -> tuple:
        if pool != "tokens":  # a baseline has a single token: there is nothing to attend to
            return linear_probe(encoder, train, test, classes, pool)
        result = evaluate(select(fit_heads, train, classes, sweep, inputs.device), test)
        return result.metrics, result.details(), result.confusion

    return run_report(args, "attentive-probe", inputs, probe, "tokens")
