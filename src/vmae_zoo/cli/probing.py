"""What the probing verbs share: their arguments, the encoder, the data, the splits, the low-shot draws, the report."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

DATA_HELP = "where the data is, instead of what the file says"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every probing verb takes."""
    add_encoder(parser)
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="recipe of the data, such as recipes/data/hmdb51.yaml"
    )
    parser.add_argument("--data.root", dest="root", metavar="DIR", help=DATA_HELP)
    parser.add_argument("--data.layout", dest="layout", metavar="NAME", help="how it lies there")
    parser.add_argument("--data.split", dest="split", type=int, metavar="N", help="number of its split")
    parser.add_argument("--splits", type=int, nargs="+", metavar="N", help="several splits, and their mean: 1 2 3")
    parser.add_argument(
        "--fractions", type=float, nargs="+", default=[1.0], metavar="F", help="low shot: 0.01 0.05 0.1 0.5 1"
    )
    parser.add_argument(
        "--draws", type=int, default=1, metavar="N", help="subsets of each fraction below 1 (default 1)"
    )
    parser.add_argument("--clips", type=int, default=1, metavar="N", help="views along time (default 1, the middle)")
    parser.add_argument("--crops", type=int, default=1, metavar="N", help="views along the longer side (default 1)")
    parser.add_argument("--no-baselines", action="store_true", help="leave out single frame and frame difference")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (default runs/VERB/<time>)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to this file")


def add_encoder(parser: argparse.ArgumentParser, cached: bool = True) -> None:
    """Add what says which encoder runs where, and where features are kept."""
    parser.add_argument(
        "--checkpoint", required=True, metavar="NAME_OR_PATH", help="a name of `vmae-zoo list`, a file or a folder"
    )
    parser.add_argument("--device", default=None, help="cpu, cuda, ...; the default is a GPU where there is one")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="clips in a forward pass (default 32)")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that decode (default: one per core beside a GPU, else one per two cores, at most 8)",
    )
    parser.add_argument("--half", action="store_true", help="run the encoder in bfloat16")
    if cached:
        parser.add_argument(
            "--cache", type=Path, metavar="DIR", help="folder of the features (default: the user's cache)"
        )
        parser.add_argument(
            "--seed", type=int, default=0, help="of what is held back, drawn and started from (default 0)"
        )


def check_counts(args: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing."""
    for name, least in {"batch_size": 1, "workers": 0, "draws": 1, "clips": 1, "crops": 1, "hop": 1}.items():
        value = getattr(args, name, None)
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} = {value}: it counts from {least}")


def device_of(args: argparse.Namespace) -> str:
    """The device asked for, or a GPU where there is one."""
    import torch

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {str(error).splitlines()[0]}") from None
    return device


def workers_of(args: argparse.Namespace, device: str) -> int:
    """Processes that decode, so that the encoder waits for no clip: on a CPU it needs cores itself."""
    from vmae_zoo.data.loader import cores

    if args.workers is not None:
        return args.workers
    return min(cores() if device.startswith("cuda") else cores() // 2, 8)


def open_data(args: argparse.Namespace, split: int | None) -> Any:
    """The catalog that the arguments name; root, layout and split of the data's recipe count, no more of it."""
    from vmae_zoo.cli.compose import compose
    from vmae_zoo.datasets.layouts import open_catalog
    from vmae_zoo.datasets.synthetic.demo import demo_root
    from vmae_zoo.resources import find_recipe

    recipe = compose(find_recipe(args.data))
    root = args.root or recipe.get("root")
    layout = args.layout or (None if args.root and args.root != recipe.get("root") else recipe.get("layout"))
    split = split if split is not None else args.split if args.split is not None else recipe.get("split")
    if args.root and args.layout is None and split is not None and split == recipe.get("split"):
        split = None  # that of the recipe's own data
    catalog = open_catalog(root or demo_root(), layout, split)
    if not catalog.classes:
        raise ValueError(f"{catalog.root} (layout {catalog.layout}) has no labels, which a probe needs")
    return catalog


def rows_of(catalog: Any) -> tuple[list[Any], list[Any]]:
    """Labelled training records, and test records (validation where there are no others)."""
    train = [record for record in catalog.of("train") if record.label >= 0]
    test = [record for record in catalog.of("test") or catalog.of("val") if record.label >= 0]
    if not train or not test:
        raise ValueError(
            f"{catalog.root} has {len(train)} labelled training and {len(test)} test clips, a probe needs both: "
            "give it split files, or train/ and val/ folders"
        )
    return train, test


Probe = Callable[[Any, Any, Any, int, int, str], tuple[Any, dict[str, Any], Any]]  # -> Scores, for JSON, confusion


def run_probe(
    args: argparse.Namespace, verb: str, probe: Probe, pool: str, views_of: Callable[[Any], Any] | None = None
) -> int:
    """Features, the probe on every split, fraction and draw, the baselines, the report.

    Args:
        args: as parsed.
        verb: name of the run's folder.
        probe: of (encoder, training features, test features, classes, seed, device).
        pool: of the features.
        views_of: of the training videos, where they differ from the test's.
    """
    import vmae_zoo
    from vmae_zoo.cli.run_folders import new_run
    from vmae_zoo.evaluation import compute_features
    from vmae_zoo.evaluation.baselines import BASELINES
    from vmae_zoo.evaluation.features import Views
    from vmae_zoo.evaluation.report import write_report
    from vmae_zoo.evaluation.splits import low_shot
    from vmae_zoo.zoo import load_pretrained

    check_counts(args)
    device, views = device_of(args), Views(args.clips, args.crops)
    workers = workers_of(args, device)
    catalogs = [open_data(args, split) for split in args.splits or [None]]
    encoder: Any = load_pretrained(args.checkpoint)
    candidates: dict[str, Any] = {"this encoder": encoder}
    if not args.no_baselines:
        candidates |= {name: make(encoder.preprocessing) for name, make in BASELINES.items()}
    rows_by_split = [rows_of(catalog) for catalog in catalogs]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in candidates}
    confusion, unreadable, left_out, largest = None, 0, [], max(args.fractions)
    for name, model in candidates.items():
        for catalog, (train_records, test_records) in zip(catalogs, rows_by_split, strict=True):
            settings = {"device": device, "batch_size": args.batch_size, "workers": workers, "half": args.half}
            train, test = (
                compute_features(
                    model,
                    records,
                    of,
                    pool=pool if model is encoder else "mean",
                    cache=args.cache,
                    progress=name,
                    **settings,
                )
                for records, of in ((train_records, views_of(args) if views_of else views), (test_records, views))
            )
            if not train.records or not test.records:
                raise ValueError(f"no {'test' if train.records else 'training'} video of {catalog.root} can be read")
            if model is encoder:
                unreadable += len(train.unreadable) + len(test.unreadable)
            for fraction in args.fractions:
                for draw in range(args.draws if fraction < 1 else 1):
                    part = train if fraction == 1 else train.part(low_shot(train.records, fraction, args.seed + draw))
                    line = {"split": catalog.split, "fraction": fraction, "draw": draw, "trained_on": len(part.records)}
                    try:
                        scores, more, matrix = probe(model, part, test, len(catalog.classes), args.seed, device)
                    except ValueError as error:
                        if fraction == largest:
                            raise
                        left_out.append({"features": name, **line, "reason": str(error)})
                        print(f"{name:<16} {label(line)}left out: {error}", flush=True)
                        continue
                    found[name].append({**line, **scores.asdict(), **more})
                    if confusion is None and fraction == largest:
                        confusion = matrix.tolist()
                    print(f"{name:<16} {label(line)}{scores.line()}", flush=True)
    tested = [record.id for _, test_records in rows_by_split for record in test_records]
    apart = len(catalogs) > 1 and len(set(tested)) == len(tested)
    means = {
        name: mean_of([line for line in lines if line["fraction"] == largest], apart) for name, lines in found.items()
    }
    scores = means.pop("this encoder")
    result = {
        "verb": verb,
        "title": f"{verb}: {args.checkpoint} on {catalogs[0].root.name}",
        "checkpoint": str(args.checkpoint),
        "data": str(catalogs[0].root),
        "layout": catalogs[0].layout,
        "classes": catalogs[0].classes,
        "views": {"clips": args.clips, "crops": args.crops},
        "pool": pool,
        "seed": args.seed,
        "unreadable": unreadable,
        "scores": scores,
        "baselines": means,
        "runs": found["this encoder"],
        "left_out": left_out,
        "version": vmae_zoo.__version__,
    }
    folder = args.out or new_run(Path.cwd() / "runs", verb)
    write_report(folder, result, confusion or [], catalogs[0].classes)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    if unreadable:
        print(f"{unreadable} videos could not be read and were left out")
    if len(catalogs) > 1:
        for name, mean in {"this encoder": scores, **means}.items():
            interval = f"95 %: {mean['top1_low']:.1f} to {mean['top1_high']:.1f}"
            print(f"{name:<16} mean of {len(catalogs)} splits: top-1 {mean['top1']:.1f} % ({interval})")
    print(folder)
    return 0


NUMBERS = ("top1", "top1_low", "top1_high", "top5", "mean_class", "videos")


def mean_of(lines: Sequence[dict[str, Any]], apart: bool = False) -> dict[str, float]:
    """The scores' means over splits and draws; the interval is the mean one, that of a single split.

    Args:
        lines: scores.
        apart: no video is tested twice, as where each split leaves one subject out: "videos" counts all of them, and
            the interval is that of all.
    """
    from vmae_zoo.training.metrics import wilson

    means = {name: sum(line[name] for line in lines) / len(lines) for name in NUMBERS}
    if apart:
        tested = {line["split"]: line["videos"] for line in lines}
        means["videos"] = sum(tested.values())
        right = round(
            means["videos"]
            * sum(line["top1"] * line["videos"] for line in lines)
            / sum(line["videos"] for line in lines)
            / 100
        )
        means["top1_low"], means["top1_high"] = (100 * end for end in wilson(right, means["videos"]))
    return {name: round(value, 4) for name, value in means.items()}


def label(line: dict[str, Any]) -> str:
    """Which of several runs a line is of; empty where there is one."""
    split = "" if line["split"] is None else f"split {line['split']} "
    share = "" if line["fraction"] == 1 else f"{100 * line['fraction']:g} % of the training set, draw {line['draw']} "
    return split + share
