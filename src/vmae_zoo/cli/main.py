"""The entry point of the command line: finds the subcommand and imports only its module.

A subcommand is a module with ``configure(parser)``, which adds its arguments, and ``run(args) -> int``, which does the
work and returns the exit code. Imports of torch and other large packages belong inside ``run``. A new subcommand is one
line in `SUBCOMMANDS`.
"""

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import vmae_zoo
from vmae_zoo.cli.errors import print_error, report_errors

TRAINER_SUBCOMMANDS = {
    "fit": "train a method with a recipe",
    "validate": "evaluate a checkpoint on the validation split",
    "test": "evaluate a checkpoint on the test split",
    "predict": "predict the classes of videos",
}

SUBCOMMANDS = {  # name of the module, with hyphens: summary
    "list": "list public checkpoints, with filters",
    "pull": "download and verify weights, for use without a network",
    "push": "upload a checkpoint to the Hub, with a model card",
    "convert": "write weights in the layout of another program, or in this package's",
    "index": "check the videos of a data set: training then reads faster and skips damaged files",
    "reencode": "copy a data set so that it decodes fast",
    "cache": "copy a data set as JPEG frames in tar shards",
    "bench": "measure reading and training on this machine",
    "recipes": "list or check the recipes of the package",
    "runs": "list runs: state, steps, losses, checkpoint",
    "compare": "compare runs: settings, curves and probe results side by side",
    "report": "write one HTML file about runs: curves, pictures, probes, settings, versions",
    "masks": "draw the masks of a method over a video",
    "reconstruct": "draw the reconstruction of the hidden parts of videos",
    "features": "draw the tokens of an encoder as colors, and its attention, over videos",
    "app": "show masks, reconstructions and features of videos on a web page",
    "linear-probe": "evaluate frozen features with a linear classifier",
    "attentive-probe": "evaluate frozen tokens with an attentive classifier",
    "extract": "write the features of videos",
    "export": "write an encoder or classifier as an ONNX or torch.export program",
    "knn": "evaluate frozen features with k nearest neighbours",
    "doctor": "check this installation: versions, devices, decoders, the `lightning` command",
}

OMP_SPIN_COUNT = "10000"  # a fraction of a millisecond


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand with the arguments after the command's name, by default those of this process.

    Returns:
        The exit code: 0 success, 1 error, 2 wrong usage, 130 interrupted.
    """
    _limit_omp_spin()
    arguments = list(sys.argv[1:] if argv is None else argv)
    return report_errors(lambda: _dispatch(arguments))


def _limit_omp_spin() -> None:
    """Make waiting OpenMP threads sleep soon; must run before torch is imported.

    By default, threads of GNU OpenMP spin for milliseconds while they wait. If another process occupies a core, the
    thread that is waited for then hardly runs. Other OpenMP libraries ignore this variable.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = OMP_SPIN_COUNT


def _dispatch(arguments: list[str]) -> int:
    name = arguments[0] if arguments else ""
    if name in TRAINER_SUBCOMMANDS:
        return import_module("vmae_zoo.cli.trainer").run(arguments)
    if name in SUBCOMMANDS:
        module = import_module(f"vmae_zoo.cli.{name.replace('-', '_')}")
        return module.run(build_parser(name, module).parse_args(arguments[1:]))
    if name == "--version":
        print(f"vmae-zoo {vmae_zoo.__version__}")
        return 0
    if name in ("-h", "--help"):
        print(help_text())
        return 0
    if not name:
        print(help_text(), file=sys.stderr)
        return 2
    if name.startswith("-"):
        return print_error(f"{name}: name a subcommand first: `vmae-zoo fit -c RECIPE`", code=2)
    close = difflib.get_close_matches(name, [*TRAINER_SUBCOMMANDS, *SUBCOMMANDS], n=1)
    hint = f"did you mean {close[0]}?" if close else "`vmae-zoo --help` lists the subcommands"
    return print_error(f"no subcommand {name}: {hint}", code=2)


def build_parser(name: str, module: ModuleType) -> argparse.ArgumentParser:
    """The parser of a subcommand: its module adds the arguments, and an example as ``parser.epilog``."""
    summary = SUBCOMMANDS[name]
    parser = argparse.ArgumentParser(
        prog=f"vmae-zoo {name}",
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    return parser


def help_text() -> str:
    """The output of ``vmae-zoo --help``."""
    width = max(map(len, [*TRAINER_SUBCOMMANDS, *SUBCOMMANDS]))
    trainer, others = (
        "\n".join(f"  {name:<{width}}  {summary}" for name, summary in names.items())
        for names in (TRAINER_SUBCOMMANDS, SUBCOMMANDS)
    )
    return f"""usage: vmae-zoo SUBCOMMAND ...

Self-supervised video pre-training, {vmae_zoo.__version__}.

training (PyTorch Lightning; also `lightning SUBCOMMAND ...`):
{trainer}

other subcommands:
{others}

`vmae-zoo SUBCOMMAND --help` lists the options of one.
example: vmae-zoo fit -c recipes/videomae.yaml"""
