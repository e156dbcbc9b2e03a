"""The front of the command line: it finds the verb and imports only that.

A verb is a module with ``configure(parser)``, which adds its arguments, and ``run(args) -> int``, which does the work
and returns the exit code; heavy imports belong inside ``run``. A new verb is one line in `VERBS`.
"""

import argparse
import difflib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType

import vmae_zoo

TRAINER_VERBS = {
    "fit": "train a method by a recipe",
    "validate": "measure a checkpoint on the validation split",
    "test": "measure a checkpoint on the test split",
    "predict": "run a checkpoint over videos",
}

VERBS = {  # verb: (module, what it does)
    "list": ("vmae_zoo.cli.list", "list public checkpoints, with filters"),
    "pull": ("vmae_zoo.cli.pull", "fetch weights once, checked, for use without a network"),
    "push": ("vmae_zoo.cli.push", "put a checkpoint on the Hub, with a card that people can read"),
    "convert": ("vmae_zoo.cli.convert", "write weights in the layout of another program, or in ours"),
    "index": ("vmae_zoo.cli.index", "audit the videos of a data set once: training then reads faster and skips damage"),
    "reencode": ("vmae_zoo.cli.reencode", "copy a data set so that it decodes fast"),
    "cache": ("vmae_zoo.cli.cache", "copy a data set as JPEG frames in tar shards"),
    "bench": ("vmae_zoo.cli.bench", "measure reading, training and motion guidance on this machine"),
    "recipes": ("vmae_zoo.cli.recipes", "list the recipes that come with the package, or check them"),
    "runs": ("vmae_zoo.cli.runs", "list runs: state, steps, losses, checkpoint"),
    "masks": ("vmae_zoo.cli.masks", "draw what a method sees of a video"),
    "reconstruct": ("vmae_zoo.cli.reconstruct", "draw what a checkpoint makes of the hidden parts of videos"),
    "linear-probe": ("vmae_zoo.cli.linear_probe", "measure frozen features by a linear map"),
    "attentive-probe": ("vmae_zoo.cli.attentive_probe", "measure frozen tokens by a learnt query over them"),
    "extract": ("vmae_zoo.cli.extract", "write the features of any videos"),
    "export": ("vmae_zoo.cli.export", "write an encoder or classifier as ONNX or torch.export program"),
    "knn": ("vmae_zoo.cli.knn", "measure frozen features by their nearest neighbours"),
    "doctor": ("vmae_zoo.cli.doctor", "check this installation: versions, devices, decoders, who owns `lightning`"),
}

USER_ERRORS = (ValueError, OSError, MemoryError, ModuleNotFoundError)

SPINS = "10000"  # of a waiting OpenMP thread: a fraction of a millisecond

EXAMPLE = "example: vmae-zoo fit -c recipes/videomae.yaml"


class UsageError(ValueError):
    """A command line or a recipe that cannot be read: exit code 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: the arguments after the command's name; None: those of this process.

    Returns:
        The exit code: 0 done, 1 it failed, 2 it was called wrongly, 130 interrupted.
    """
    _limit_omp_spin()
    arguments = list(sys.argv[1:] if argv is None else argv)
    return report_errors(lambda: _dispatch(arguments))


def _limit_omp_spin() -> None:
    """Let threads that wait for each other sleep soon, before torch is loaded and settles it.

    By GNU OpenMP's default they spin for milliseconds; where another program has one of the cores, the thread that is
    waited for then hardly runs (`docs/performance.md` has the numbers). Other OpenMP libraries do not read this.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = SPINS


def _dispatch(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else ""
    if verb in TRAINER_VERBS or verb.startswith(("-c", "--config")):
        return import_module("vmae_zoo.cli.trainer").run(arguments)
    if verb in VERBS:
        module = import_module(VERBS[verb][0])
        return module.run(parser_of(verb, module).parse_args(arguments[1:]))
    if verb == "--version":
        print(f"vmae-zoo {vmae_zoo.__version__}")
        return 0
    if verb in ("-h", "--help"):
        print(help_text())
        return 0
    if not verb:
        print(help_text(), file=sys.stderr)
        return 2
    close = difflib.get_close_matches(verb, [*TRAINER_VERBS, *VERBS], n=1)
    hint = f"did you mean {close[0]}?" if close else "`vmae-zoo --help` lists the verbs"
    return failed(f"no verb {verb}: {hint}", code=2)


def parser_of(verb: str, module: ModuleType) -> argparse.ArgumentParser:
    """The parser of one verb: its module adds the arguments, and an example as ``parser.epilog``."""
    parser = argparse.ArgumentParser(
        prog=f"vmae-zoo {verb}",
        description=f"{VERBS[verb][1][0].upper()}{VERBS[verb][1][1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    return parser


def help_text() -> str:
    """What ``vmae-zoo --help`` prints."""
    width = max(map(len, [*TRAINER_VERBS, *VERBS]))
    trainer = [f"  {verb:<{width}}  {what}" for verb, what in TRAINER_VERBS.items()]
    others = [f"  {verb:<{width}}  {what}" for verb, (_, what) in VERBS.items()]
    head = ["usage: vmae-zoo VERB ...", "", f"Masked video pre-training, vmae_zoo {vmae_zoo.__version__}.", ""]
    titles = ["training (PyTorch Lightning; also `lightning VERB ...`):", *trainer, "", "everything else:", *others]
    return "\n".join([*head, *titles, "", "`vmae-zoo VERB --help` tells the rest.", EXAMPLE])


def report_errors(work: Callable[[], int]) -> int:
    """Run ``work`` and turn what it raises into one line and an exit code.

    A ``ValueError``, an ``OSError``, a lack of memory or a wrong setting of Lightning's is the user's to mend: one
    sentence (``VMAE_ZOO_TRACEBACK=1`` shows the traceback too). Anything else is a fault of the program and keeps its
    traceback.
    """
    try:
        return work()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else failed(str(stop.code))
    except KeyboardInterrupt:
        print("vmae-zoo: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `vmae-zoo ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        mendable = isinstance(error, USER_ERRORS) or type(error).__name__ == "MisconfigurationException"
        if os.environ.get("VMAE_ZOO_TRACEBACK") == "1" or not mendable:
            traceback.print_exc()
        return failed(one_line(error), 2 if isinstance(error, UsageError) else 1)


def one_line(error: BaseException) -> str:
    """The message of an error on one line; of an error that came out of a data worker, only what was raised there."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if any(line.startswith("Original Traceback") for line in lines):
        return lines[-1].partition(": ")[2] or lines[-1]
    return " ".join(lines)


def failed(message: str, code: int = 1) -> int:
    """Say what went wrong on standard error; the exit code."""
    print(f"vmae-zoo: error: {message}", file=sys.stderr)
    return code
