"""``vmae-zoo report``: one HTML file about runs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmae_zoo.cli.checkpoint_option import add_method
from vmae_zoo.cli.compare import curves_of, labels_of
from vmae_zoo.cli.runs import state
from vmae_zoo.run_record import LAST, RECIPE

if TYPE_CHECKING:
    from vmae_zoo.viz.run_data import RunData

THROUGHPUT = ("clips_per_s", "step_ms", "data_wait", "mfu", "peak_memory_gib")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs, or of probes")
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    parser.add_argument("--title", default="Runs", help="heading of the page")
    parser.add_argument("--video", type=Path, metavar="FILE", help="also draw the masks of each run over this video")
    add_method(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the masks (default 0)")
    parser.epilog = "example: vmae-zoo report runs/videomae/20260102-030405 --video clip.mp4 --out report.html"


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    import vmae_zoo
    from vmae_zoo.viz.curves import legend, line_chart
    from vmae_zoo.viz.report import Section, folded, page, table
    from vmae_zoo.viz.run_data import RunData, differences

    if args.out.suffix != ".html":
        raise ValueError(f"--out {args.out}: the report is an .html file")
    found = [RunData(folder) for folder in args.runs]
    names = labels_of(found)
    trained = [(name, one) for name, one in zip(names, found, strict=True) if not one.is_probe]
    columns = [name for name, _ in trained]
    charts = "\n".join(line_chart(title, curves, names) for title, curves in curves_of(found).items())
    throughput = {
        name: [number(one.metric(f"throughput/{name}")) for _, one in trained]
        for name in THROUGHPUT
        if any(one.metric(f"throughput/{name}") is not None for _, one in trained)
    }
    packages = dict.fromkeys(name for _, one in trained for name in one.summary.get("versions", {}))
    versions = {name: [one.summary.get("versions", {}).get(name, "-") for _, one in trained] for name in packages}
    recipes = [(name, one.folder / RECIPE) for name, one in trained]
    sections = [
        Section(
            "Runs",
            table(["state", "steps", "time", "device", "precision", "tags", "folder"], dict(map(row, names, found))),
        ),
        Section("Settings that differ", table(columns, differences([one for _, one in trained]))),
        Section("Curves", charts and f'{legend(names)}<div class="charts">{charts}</div>'),
        Section("Reconstructions", reconstructions(trained)),
        Section("Masks", masks(trained, args.video, args.seed, args.method) if args.video else ""),
        Section("Probes", probes(names, found)),
        Section("Throughput", table(columns, throughput)),
        Section("Settings", "\n".join(folded(name, file.read_text()) for name, file in recipes if file.is_file())),
        Section("Versions", table(columns, versions)),
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(page(args.title, f"Written by vmae_zoo {vmae_zoo.__version__}.", sections))
    print(args.out)
    return 0


def row(name: str, one: "RunData") -> tuple[str, list[str]]:
    """The line of a run in the first table."""
    summary = one.summary
    cells = [
        "probe" if one.is_probe else state(one.folder, summary.get("state")),
        str(summary.get("steps", "-")),
        duration(summary.get("seconds")),
    ]
    cells += [summary.get("device") or "-", summary.get("precision") or "-", ", ".join(one.tags), str(one.folder)]
    return name, cells


def duration(seconds: float | None) -> str:
    """A time in hours, or in minutes if it is short."""
    if seconds is None:
        return "-"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def number(value: float | None) -> str:
    """A number of a table."""
    return "-" if value is None else f"{value:.4g}"


def reconstructions(runs: "list[tuple[str, RunData]]") -> str:
    """The newest reconstruction of each run."""
    from PIL import Image

    from vmae_zoo.viz.report import figure

    pictures = [(name, one.last_picture) for name, one in runs]
    return "\n".join(figure(Image.open(file), f"{name}: {file.stem}") for name, file in pictures if file)


def masks(runs: "list[tuple[str, RunData]]", video: Path, seed: int, method: str | None = None) -> str:
    """What the method of each run sees of a video, by its last checkpoint; nothing for classifiers.

    ``method`` is the import path of a class of your own, which checkpoints may then name.
    """
    from vmae_zoo.methods.base import Method
    from vmae_zoo.methods.registry import resolve_method
    from vmae_zoo.viz.method_masks import draw_method
    from vmae_zoo.viz.picture import contact_sheet, fewer
    from vmae_zoo.viz.report import figure
    from vmae_zoo.zoo.load import load_full

    if method:
        resolve_method(method)
    models = [(name, load_full(one.folder)) for name, one in runs if (one.folder / LAST).exists()]
    drawn = [
        (name, [fewer(panel, 8) for panel in draw_method(model, video, seed)[0]])
        for name, model in models
        if isinstance(model, Method) and model.task == "pretrain"
    ]
    return "\n".join(figure(contact_sheet(panels), name) for name, panels in drawn)


def probes(names: list[str], runs: "list[RunData]") -> str:
    """A table of all probes, then the plot of each with its confusion matrix."""
    from vmae_zoo.evaluation.report import plot_svg
    from vmae_zoo.viz.report import table

    pairs = [(name, result) for name, one in zip(names, runs, strict=True) for result in one.probes]
    rows = {f"{name}, probe {place}": probe_cells(result) for place, (name, result) in enumerate(pairs, start=1)}
    widest = max((len(cells) for cells in rows.values()), default=3)
    plots = [plot_svg(result, result.get("confusion", ()), result["classes"]) for _, result in pairs]
    return "\n".join([table(["probe", "data", "top-1", *["baseline"] * (widest - 3)], rows), *plots]) if pairs else ""


def probe_cells(result: dict[str, Any]) -> list[str]:
    """Subcommand, data, accuracy, and that of the baselines."""
    from vmae_zoo.viz.run_data import interval

    others = (f"{name} {interval(scores)}" for name, scores in result["baselines"].items())
    return [result["subcommand"], Path(result["data"]).name, interval(result["scores"]), *others]
