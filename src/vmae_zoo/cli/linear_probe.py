"""``vmae-zoo linear-probe``: top-1 accuracy of a linear map on frozen features."""

import argparse
from typing import TYPE_CHECKING, Any

from vmae_zoo.cli.probing import add_arguments, open_inputs, run_report, workers_of

if TYPE_CHECKING:
    from vmae_zoo.evaluation.probe_runs import Probe

PROTOCOLS = ("sweep", "videomae-paper")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_arguments(parser)
    parser.add_argument("--pool", choices=("mean", "cls"), default="mean", help="feature of a clip (default mean)")
    parser.add_argument("--augmented", type=int, default=0, metavar="N", help="train on N random views of each video")
    parser.add_argument("--flip", action="store_true", help="mirror half of the random views")
    parser.add_argument("--epochs", type=int, metavar="N", help="of videomae-paper (default 100)")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="sweep",
        help="sweep: fixed views, a head for each of 15 weight decays, selected on a held-out part (default); "
        "videomae-paper: new views every epoch, a single head [from the paper, not confirmed]",
    )
    parser.epilog = (
        "example: vmae-zoo linear-probe --checkpoint videomae_base.k400-1600 --data recipes/data/hmdb51.yaml"
    )


def run(args: argparse.Namespace) -> int:
    """Probe, print, write the report."""
    paper = args.protocol == "videomae-paper"
    if paper and (args.augmented or args.flip):
        raise ValueError("--protocol videomae-paper has its own random views: leave out --augmented and --flip")
    if args.flip and not args.augmented:
        raise ValueError("--flip mirrors random views: ask for some by --augmented N")
    if args.epochs and not paper:
        raise ValueError("--epochs belongs to --protocol videomae-paper: the default protocol has no epochs")
    inputs = open_inputs(args)
    from vmae_zoo.evaluation.features import Views

    train_views = Views(augmented=args.augmented, flip=args.flip) if args.augmented else None
    probe = videomae_protocol(args, inputs.device) if paper else lbfgs_probe(args.seed, inputs.device)
    return run_report(args, "linear-probe", inputs, probe, args.pool, train_views)


def lbfgs_probe(seed: int, device: str) -> "Probe":
    """The default protocol."""
    from vmae_zoo.evaluation.linear_probe import LBFGSSweep, fit
    from vmae_zoo.evaluation.probe import evaluate, select

    def probe(encoder: Any, train: Any, test: Any, classes: int, pool: str) -> tuple:
        result = evaluate(select(fit, train, classes, LBFGSSweep(seed=seed), device), test)
        return result.metrics, result.details(), result.confusion

    return probe


def videomae_protocol(args: argparse.Namespace, device: str) -> "Probe":
    """The protocol of ``--protocol videomae-paper``."""
    from vmae_zoo.evaluation.probe import evaluate
    from vmae_zoo.evaluation.videomae_probe import videomae_probe

    def probe(encoder: Any, train: Any, test: Any, classes: int, pool: str) -> tuple:
        selected = videomae_probe(
            encoder,
            train.records,
            classes,
            epochs=args.epochs or 100,
            pool=pool,
            device=device,
            clips=args.batch_size,
            workers=workers_of(args, device),
            half=args.half,
            seed=args.seed,
        )
        result = evaluate(selected, test)
        details = {"protocol": "videomae-paper, not confirmed", "chosen": selected.settings}
        return result.metrics, details, result.confusion

    return probe
