"""What the probing subcommands share: arguments, data, encoder, report."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vmae_zoo.cli.checkpoint_option import add_checkpoint, check_checkpoint, load_checkpoint
from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.setting_checks import check_least

if TYPE_CHECKING:
    from vmae_zoo.datasets.layouts import Catalog
    from vmae_zoo.evaluation.features import Views
    from vmae_zoo.evaluation.probe_runs import Probe

LEAST = {"batch_size": 1, "workers": 0, "draws": 1, "clips": 1, "crops": 1, "hop": 1, "epochs": 1, "augmented": 0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every probing subcommand."""
    add_encoder(parser)
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="recipe of the data, such as recipes/data/hmdb51.yaml"
    )
    parser.add_argument("--data.root", dest="root", metavar="DIR", help="folder of the data; default: the recipe's")
    parser.add_argument("--data.layout", dest="layout", metavar="NAME", help="layout of the folder")
    parser.add_argument("--data.split", dest="split", type=int, metavar="N", help="number of the split")
    parser.add_argument("--data.label_column", dest="label_column", metavar="NAME", help="label column of a CSV file")
    parser.add_argument("--splits", type=int, nargs="+", metavar="N", help="several splits and their mean: 1 2 3")
    parser.add_argument("--folds", type=int, metavar="K", help="cross-validation over all labeled clips, and the mean")
    parser.add_argument(
        "--fractions", type=float, nargs="+", default=[1.0], metavar="F", help="low shot: 0.01 0.05 0.1 0.5 1"
    )
    parser.add_argument(
        "--draws", type=int, default=1, metavar="N", help="random subsets of each fraction below 1 (default 1)"
    )
    parser.add_argument("--clips", type=int, default=1, metavar="N", help="views along time (default 1, the middle)")
    parser.add_argument("--crops", type=int, default=1, metavar="N", help="views along the longer side (default 1)")
    parser.add_argument("--no-baselines", action="store_true", help="only the encoder itself")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (default runs/SUBCOMMAND/<time>)")
    add_json(parser, "the result")


def add_encoder(parser: argparse.ArgumentParser, cached: bool = True) -> None:
    """Add the arguments for the encoder, its device, and the cache of its features."""
    add_checkpoint(parser)
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (default: a GPU if there is one)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="clips per forward pass (default 32)")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that decode (default: one per core with a GPU, else one per two cores; at most 8)",
    )
    parser.add_argument("--half", action="store_true", help="run the encoder in bfloat16")
    if cached:
        parser.add_argument(
            "--cache", type=Path, metavar="DIR", help="folder of cached features (default: the user's cache)"
        )
        parser.add_argument(
            "--seed", type=int, default=0, help="of held-out part, subsets and initialization (default 0)"
        )


def check_counts(args: argparse.Namespace) -> None:
    """``ValueError`` for a number that is too small, or a fraction that is too large."""
    for name, least in LEAST.items():
        check_least("--", least, **{name.replace("_", "-"): vars(args).get(name)})
    wrong = [fraction for fraction in vars(args).get("fractions", ()) if not 0 < fraction <= 1]
    if wrong:
        raise ValueError(f"--fractions {wrong[0]:g}: must be above 0 and at most 1")


def device_of(args: argparse.Namespace) -> str:
    """The device of ``--device``; by default a GPU if there is one."""
    import torch

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {str(error).splitlines()[0]}") from None
    return device


def workers_of(args: argparse.Namespace, device: str) -> int:
    """Processes that decode; on a CPU the encoder needs cores itself."""
    from vmae_zoo.data.loader import cores

    if args.workers is not None:
        return args.workers
    return min(cores() if device.startswith("cuda") else cores() // 2, 8)


def open_data(args: argparse.Namespace, split: int | None) -> "Catalog":
    """The catalog that the arguments name; only root, layout, split and label_column of the data's recipe are used.

    The recipe is one of data alone, or of a whole training.

    Raises:
        ValueError: the recipe names several data sets or another data module, and no ``--data.root`` is given.
    """
    from vmae_zoo.compose import CLASSES, compose, settings_of
    from vmae_zoo.datasets.layouts import open_catalog
    from vmae_zoo.resources import find_recipe

    keys = compose(find_recipe(args.data))
    data = keys.get("data") or {} if any(name in keys for name in CLASSES) else keys
    recipe, module = settings_of(data), data.get("class_path", "ClipDataModule")
    several = recipe.get("sources") or module.rpartition(".")[2] != "ClipDataModule"
    if several and not args.root:
        what = "several data sets (sources)" if recipe.get("sources") else f"the data module {module}"
        raise ValueError(f"--data {args.data} names {what}: name the folder to evaluate on by --data.root")
    root = args.root or recipe.get("root")
    layout = args.layout or (None if args.root and args.root != recipe.get("root") else recipe.get("layout"))
    split = split if split is not None else args.split if args.split is not None else recipe.get("split")
    if args.root and args.layout is None and split is not None and split == recipe.get("split"):
        split = None  # it belongs to the recipe's own data
    own_column = recipe.get("label_column") if args.root in (None, recipe.get("root")) else None
    return open_catalog(root, layout, split, args.label_column or own_column)


class ProbeInputs(NamedTuple):
    """What a probe runs on: the data set, once per split; the encoder; the device."""

    catalogs: list["Catalog"]
    encoder: Any
    device: str


def open_inputs(args: argparse.Namespace) -> ProbeInputs:
    """Check the arguments, first those that need no large imports, then load the encoder."""
    from vmae_zoo.resources import find_recipe

    check_counts(args)
    find_recipe(args.data)
    check_checkpoint(args)
    if args.folds and args.splits:
        raise ValueError("--folds makes splits of its own: leave --splits out")
    catalogs = [open_data(args, split) for split in args.splits or [None]]
    if args.folds:
        from vmae_zoo.datasets.splits import folds

        catalogs = folds(catalogs[0], args.folds, args.seed)
    return ProbeInputs(catalogs, load_checkpoint(args), device_of(args))


def run_report(
    args: argparse.Namespace,
    subcommand: str,
    inputs: ProbeInputs,
    probe: "Probe",
    pool: str,
    train_views: "Views | None" = None,
) -> int:
    """Run a probe and write its report."""
    import vmae_zoo
    from vmae_zoo.cli.run_folders import new_folder
    from vmae_zoo.evaluation.features import Views
    from vmae_zoo.evaluation.probe_runs import ENCODER, run_probe
    from vmae_zoo.evaluation.report import write_report
    from vmae_zoo.viz.run_data import interval
    from vmae_zoo.zoo.load import load_untrained

    found = run_probe(
        probe,
        inputs.encoder,
        inputs.catalogs,
        pool=pool,
        views=Views(args.clips, args.crops),
        train_views=train_views,
        fractions=args.fractions,
        draws=args.draws,
        seed=args.seed,
        untrained=None if args.no_baselines else load_untrained(args.checkpoint, args.seed, method=args.method),
        baselines=not args.no_baselines,
        log=lambda line: print(line, flush=True),
        settings={
            "device": inputs.device,
            "batch_size": args.batch_size,
            "workers": workers_of(args, inputs.device),
            "half": args.half,
            "cache": args.cache,
        },
    )
    first, source = inputs.catalogs[0], Path(args.checkpoint).expanduser()
    result: dict[str, Any] = {
        "subcommand": subcommand,
        "title": f"{subcommand}: {args.checkpoint} on {first.root.name}",
        "checkpoint": str(source.resolve()) if source.exists() else str(args.checkpoint),
        "data": str(first.root),
        "layout": first.layout,
        "label_column": args.label_column,
        "classes": first.classes,
        "views": {"clips": args.clips, "crops": args.crops},
        "pool": pool,
        "seed": args.seed,
        "unreadable": found.unreadable,
        "scores": found.scores,
        "confusion": found.confusion,
        "baselines": found.baselines,
        "runs": found.runs,
        "left_out": found.left_out,
        "version": vmae_zoo.__version__,
    }
    folder = args.out or new_folder(Path.cwd() / "runs", subcommand)
    write_report(folder, result, found.confusion, first.classes)
    write_json(args.json, result)
    if found.unreadable:
        print(f"{found.unreadable} videos cannot be read and were left out")
    if len(inputs.catalogs) > 1:
        for name, mean in {ENCODER: found.scores, **found.baselines}.items():
            print(f"{name:<16} mean of {len(inputs.catalogs)} splits: top-1 {interval(mean)}")
    print(folder)
    return 0
