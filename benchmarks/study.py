"""The study on the embedded clips: which method learns what, against scratch, random weights and simple nulls.

A row is one training run and what is measured of it. Rows are independent, each is one command, and a row that was
interrupted goes on where it stopped:

    python -m benchmarks.study list
    python -m benchmarks.study run pretrain-videomae-1 --out study
    python -m benchmarks.study table --out study

Pre-training rows use the small recipes as they are, with another seed, and are probed (linear, k-NN, attentive) for
every label beside random weights, a single frame and the frame difference. Ablation rows change one setting of
``recipes/videomae.yaml``. Fine-tuning rows train a classifier on some of the labels, from a pre-training row or from
scratch; the learning rate of each start is chosen on clips held back from the training set, in rows of their own.
"""

import argparse
import csv
import json
import subprocess
import sys
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.command_line import main as command_line
from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.datasets.synthetic.embedded import embedded_root
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key
from vmae_zoo.training.metrics import wilson
from vmae_zoo.viz.curves import charts

METHODS = ("videomae", "vjepa", "moco_v3", "videomae_v2", "mgmae", "arvideo", "mae_st", "mae")
LABELS = ("glyph", "motion", "speed")
PROBES = ("linear-probe", "knn", "attentive-probe")
SEEDS = (1, 2, 3)  # the recipes were tuned with seed 0
STARTS = ("scratch", "videomae")
LABELED = (100, 400, 1600)
STEPS = (500, 2000)
RATES = (1e-3, 3e-3, 1e-2)
HELD_BACK = 400  # training clips that choose the learning rate


@dataclass(frozen=True)
class Row:
    """One training run and what is measured of it.

    Args:
        name: of the row and its folder.
        recipe: that it trains.
        seed: of everything random.
        settings: that differ from the recipe's, as on the command line.
        probes: subcommands that measure the encoder.
        labels: label columns that they measure.
        start: row of the weights that training starts from; None: random ones.
        labeled: clips with labels, for a classifier; None: no classifier.
    """

    name: str
    recipe: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    probes: Sequence[str] = PROBES
    labels: Sequence[str] = LABELS
    start: str | None = None
    labeled: int | None = None


def rows() -> list[Row]:
    """All rows of the study, in the order of their worth."""
    found = [Row(f"pretrain-{method}-{seed}", f"recipes/{method}.yaml", seed) for seed in SEEDS for method in METHODS]
    changes: dict[str, dict[str, Any]] = {
        "position-sincos_1d": {"model.init_args.position": "sincos_1d"},
        "mask-0.25": {"model.init_args.mask_ratio": 0.25},
        "mask-0.75": {"model.init_args.mask_ratio": 0.75},
        "normalized": {"model.init_args.normalise_target": "true"},
        "decoder-4": {"model.init_args.decoder_depth": 4},
    }
    found += [
        Row(f"ablation-{name}-{seed}", "recipes/videomae.yaml", seed, change, PROBES[:2])
        for seed in SEEDS
        for name, change in changes.items()
    ]
    return found + [
        finetuning(start, label, labeled, steps, rate, seed)
        for seed in SEEDS
        for label in LABELS[:2]
        for labeled in LABELED
        for steps in STEPS
        for start in STARTS
        for rate in RATES
    ]


def finetuning(start: str, label: str, labeled: int, steps: int, rate: float, seed: int) -> Row:
    """A classifier from a start, validated once, at its end, on the clips that are held back."""
    settings: dict[str, Any] = {"trainer.max_steps": steps, "trainer.max_epochs": -1, "model.init_args.lr": rate}
    settings |= {"trainer.check_val_every_n_epoch": "null", "trainer.val_check_interval": steps}
    name = f"finetune-{start}-{label}-{labeled}-{steps}-{rate:g}-{seed}"
    weights = None if start == "scratch" else f"pretrain-{start}-{seed}"
    return Row(name, "recipes/classifier.yaml", seed, settings, (), (label,), weights, labeled)


def run_row(row: Row, out: Path, data: str = "demo") -> dict[str, Any]:
    """Train and measure what of a row is not there yet; its result, also in ``result.json`` of its folder.

    Args:
        row: which.
        out: folder of the study.
        data: name of the embedded set.
    """
    folder = out / row.name
    result = folder / "result.json"
    if result.is_file():
        return json.loads(result.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    settings = dict(row.settings)
    if row.labeled is not None:
        settings["data.root"] = write_subset(folder / "clips.csv", data, row)
        settings["data.label_column"] = row.labels[0]
    else:
        settings["data.root"] = f"synthetic:{data}"
    if row.start:
        settings["model.init_from"] = str(checkpoint_of(out / row.start))
    if not (folder / "fit.json").is_file():
        before = sorted(folder.glob("runs/*/*/checkpoints/last.ckpt"))
        if before:
            settings["ckpt_path"] = str(before[-1])
        settings |= {"seed_everything": row.seed, "trainer.default_root_dir": folder, "json": folder / "fit.json"}
        program("fit", "-c", row.recipe, *(f"--{name}={value}" for name, value in settings.items()))
    found: dict[str, Any] = {"row": row.name, "seed": row.seed, "fit": json.loads((folder / "fit.json").read_text())}
    for probe in row.probes:
        for label in row.labels:
            file = folder / f"{probe}-{label}.json"
            if not file.is_file():
                program(
                    *(probe, "--checkpoint", str(checkpoint_of(folder)), "--data", "recipes/data/demo.yaml"),
                    *("--data.root", f"synthetic:{data}", "--data.label_column", label, "--seed", str(row.seed)),
                    *(
                        "--out",
                        str(folder / f"{probe}-{label}"),
                        "--cache",
                        str(folder / "features"),
                        "--json",
                        str(file),
                    ),
                )
            scores = json.loads(file.read_text())
            found[f"{probe}/{label}"] = {"this encoder": scores["scores"], **scores["baselines"]}
    if row.labeled is not None:
        program("test", "-c", row.recipe, "--ckpt_path", str(checkpoint_of(folder)), *tested(settings, folder))
        found["test"] = json.loads((folder / "test.json").read_text())
    with atomic_write(result) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")
    return found


def tested(settings: dict[str, Any], folder: Path) -> list[str]:
    """Settings of ``test``: the data's, and where the numbers go."""
    kept = {name: value for name, value in settings.items() if name.startswith("data.")}
    return [*(f"--{name}={value}" for name, value in kept.items()), f"--json={folder / 'test.json'}"]


def write_subset(file: Path, data: str, row: Row, held_back: int = HELD_BACK) -> str:
    """A CSV file: ``row.labeled`` training clips, as many of each class; those held back, for validation; those tested.

    Which clips are held back is the same for all rows; which have labels depends on the seed.
    """
    root = embedded_root(data)
    with (root / "clips.csv").open() as lines:
        clips = list(csv.DictReader(lines))
    rng = KeyedRNG(sample_key(0, 0, hash_text("study")), "held back")
    train = [clip for clip in clips if clip["split"] == "train"]
    order = rng.permutation(len(train))
    held, rest = [train[n] for n in order[:held_back]], [train[n] for n in order[held_back:]]
    mixed = [rest[n] for n in KeyedRNG(sample_key(row.seed, 0, hash_text("study")), "labeled").permutation(len(rest))]
    by_class: dict[str, list[dict[str, str]]] = {}
    for clip in mixed:
        by_class.setdefault(clip[row.labels[0]], []).append(clip)
    assert row.labeled is not None
    share = row.labeled // len(by_class)
    chosen = [clip for members in by_class.values() for clip in members[:share]]
    splits = {"train": chosen, "val": held, "test": [clip for clip in clips if clip["split"] == "test"]}
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, list(clips[0]))
        writer.writeheader()
        for split, members in splits.items():
            writer.writerows({**clip, "split": split, "path": str(root / clip["path"])} for clip in members)
    return str(file)


def checkpoint_of(folder: Path) -> Path:
    """The last checkpoint of a row; ``ValueError`` if the row has not been trained."""
    found = sorted(folder.glob("runs/*/*/checkpoints/last.ckpt"))
    if not found:
        raise ValueError(f"{folder} has no checkpoint: run the row {folder.name} first")
    return found[-1]


def program(*arguments: str) -> None:
    """Run ``vmae-zoo`` in a process of its own."""
    subprocess.run([sys.executable, "-m", "vmae_zoo", *arguments], check=True)


def read_results(out: Path) -> list[dict[str, Any]]:
    """The results of all rows that are done."""
    return [json.loads(file.read_text()) for file in sorted(out.glob("*/result.json"))]


def table(out: Path) -> str:
    """What is there, in Markdown: probes of each method, mean over its seeds with the interval of the tested clips."""
    results = read_results(out)
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(result["row"].rpartition("-")[0], []).append(result)
    lines = ["| row | seeds | measured | encoder | random weights | single frame | frame difference |"]
    lines.append("|---" * 7 + "|")
    for name, members in groups.items():
        for key in [key for key in members[0] if "/" in key]:
            cells = [over_seeds([member[key][of] for member in members if key in member]) for of in members[0][key]]
            lines.append(f"| {name} | {len(members)} | {key} | {' | '.join(cells)} |")
        if "test" in members[0]:
            accuracies = [member["test"]["metrics"] for member in members]
            lines.append(f"| {name} | {len(members)} | test | {accuracies} | | | |")
    return "\n".join(lines) + "\n"


def plots(results: Iterable[dict[str, Any]]) -> str:
    """An SVG of the fine-tuning rows: accuracy on the test clips by steps, a chart for each label and number of labels.

    Each start has the rate with the highest accuracy on the held-back clips among the runs of its first seed.
    """
    runs: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for result in results:
        kind, *setting, rate, seed = result["row"].split("-")
        if kind == "finetune":
            runs.setdefault((*setting, seed), {})[rate] = result
    chosen: dict[tuple[str, ...], str] = {}
    for (*setting, _), by_rate in sorted(runs.items()):
        chosen.setdefault(tuple(setting), max(by_rate, key=lambda rate: held_back(by_rate[rate])))
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for (start, label, labeled, steps, seed), by_rate in sorted(runs.items()):
        if run := by_rate.get(chosen[start, label, labeled, steps]):
            curves = found.setdefault(f"{label}, {labeled} labels: top-1 in percent by steps", {})
            top1 = run["test"].get("metrics", run["test"])["top1/test"]
            insort(curves.setdefault(f"{start}, seed {seed}", []), (int(steps), top1))
    found = {title: chart for title, chart in found.items() if any(len(curve) > 1 for curve in chart.values())}
    return charts(sorted({name for chart in found.values() for name in chart}), found)


def held_back(result: dict[str, Any]) -> float:
    """Accuracy of a fine-tuning row on the held-back clips."""
    return result.get("fit", {}).get("metrics", result)["top1/val"]


def over_seeds(scores: Iterable[dict[str, float]]) -> str:
    """Mean top-1 in percent over seeds, its 95 % interval (Wilson), and each seed's.

    All seeds are tested on the same clips, so the interval is that of one test, however many seeds there are.
    """
    scores = list(scores)
    mean, videos = sum(score["top1"] for score in scores) / len(scores), int(scores[0]["videos"])
    low, high = wilson(round(mean * videos / 100), videos)
    seeds = ", ".join(f"{score['top1']:.1f}" for score in scores)
    return f"{mean:.1f} ({100 * low:.1f}-{100 * high:.1f}); {seeds}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("what", choices=("list", "run", "table"), help="list the rows, run some, or tabulate results")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names of rows to run; none: all that are not there yet")
    parser.add_argument("--out", type=Path, default=Path("study"), metavar="DIR", help="folder of the study")
    parser.epilog = "example: python -m benchmarks.study run pretrain-videomae-1 --out study"


def run(args: argparse.Namespace) -> int:
    """List, run or tabulate."""
    known = {row.name: row for row in rows()}
    wrong = [name for name in args.rows if name not in known]
    if wrong:
        raise ValueError(f"{wrong[0]} is no row of the study: python -m benchmarks.study list")
    if args.what == "list":
        for name in known:
            print(f"{name}  {'done' if (args.out / name / 'result.json').is_file() else ''}".rstrip())
    elif args.what == "run":
        for name in args.rows or known:
            run_row(known[name], args.out)
    else:
        text = table(args.out)
        (args.out / "table.md").write_text(text)
        (args.out / "finetune.svg").write_text(plots(read_results(args.out)))
        print(text)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return command_line("study", __doc__, configure, run, argv)


if __name__ == "__main__":
    sys.exit(main())
