"""``vmae-zoo linear-probe``: top-1 of a linear map on frozen features."""

import argparse
from typing import Any

from vmae_zoo.cli.probing import add_arguments, run_probe, workers_of

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
        help="sweep: fixed views, a head for each of 15 weight decays, the best on a held-back part (default); "
        "videomae-paper: new views every epoch, one head, nothing chosen [from the paper, not confirmed]",
    )
    parser.epilog = (
        "example: vmae-zoo linear-probe --checkpoint videomae_base.k400-1600 --data recipes/data/hmdb51.yaml"
    )


def run(args: argparse.Namespace) -> int:
    """Probe, print, write the report."""
    from vmae_zoo.evaluation.features import Views
    from vmae_zoo.evaluation.linear_probe import LBFGSSweep, fit
    from vmae_zoo.evaluation.probe import choose, judge

    if args.protocol == "videomae-paper":
        if args.augmented or args.flip:
            raise ValueError("--protocol videomae-paper has views of its own: leave out --augmented and --flip")
        return run_probe(args, "linear-probe", paper(args), args.pool)
    if args.epochs:
        raise ValueError("--epochs belongs to --protocol videomae-paper: by default heads are minima, not passes")
    sweep = LBFGSSweep(seed=args.seed)

    def probe(model: Any, train: Any, test: Any, classes: int, seed: int, device: str) -> tuple:
        probed = judge(choose(fit, train, classes, sweep, device), test)
        found = probed.asdict()
        return probed.scores, {name: found[name] for name in ("chosen", "held_back_top1", "tried")}, probed.confusion

    random_views = Views(augmented=args.augmented, flip=args.flip) if args.augmented else None
    return run_probe(args, "linear-probe", probe, args.pool, (lambda _: random_views) if random_views else None)


def paper(args: argparse.Namespace) -> Any:
    """The probe of ``--protocol videomae-paper``."""
    from vmae_zoo.evaluation.probe import judge
    from vmae_zoo.evaluation.videomae_probe import paper_probe

    def probe(model: Any, train: Any, test: Any, classes: int, seed: int, device: str) -> tuple:
        chosen = paper_probe(
            model,
            train.records,
            classes,
            epochs=args.epochs or 100,
            pool=args.pool if hasattr(model, "blocks") else "mean",
            device=device,
            clips=args.batch_size,
            workers=workers_of(args, device),
            half=args.half,
            seed=seed,
        )
        probed = judge(chosen, test)
        return probed.scores, {"protocol": "videomae-paper, not confirmed", "chosen": chosen.settings}, probed.confusion

    return probe
