"""``vmae-zoo app``: the web page."""

import argparse
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vmae_zoo.cli.checkpoint_option import add_method
from vmae_zoo.run_record import run_of

BUNDLED = "videomae_tiny.demo-16"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--checkpoint", nargs="+", default=[BUNDLED], metavar="NAME_OR_PATH", help=f"weights to choose from ({BUNDLED})"
    )
    add_method(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=7860, help="port (default 7860)")
    parser.add_argument("--max-megabytes", type=int, default=100, metavar="N", help="of an upload (default 100)")
    parser.add_argument("--max-minutes", type=float, default=10, metavar="N", help="of an upload (default 10)")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write a Hugging Face Space instead of serving")
    parser.epilog = "example: vmae-zoo app --checkpoint videomae_tiny.demo-16 runs/mgmae/20260102-030405"


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, or write a Space."""
    try:
        gradio = version("gradio")
    except PackageNotFoundError:
        raise ModuleNotFoundError(
            "the page needs gradio, which is not installed: pip install 'vmae-zoo[app]'"
        ) from None
    from vmae_zoo.zoo.resolve import find_source

    for source in args.checkpoint:
        find_source(source, "pretrain")
    checkpoints = labeled(args.checkpoint)
    if args.export:
        from vmae_zoo.app.space import export_space

        for file in export_space(args.export, checkpoints, gradio):
            print(file)
        return 0
    if args.method:
        from vmae_zoo.methods.registry import resolve_method

        resolve_method(args.method)  # checkpoints may then name it
    from vmae_zoo.app.page import serve
    from vmae_zoo.app.videos import Limits

    limits = Limits(megabytes=args.max_megabytes, minutes=args.max_minutes)
    serve(checkpoints, limits, server_name=args.host, server_port=args.port)
    return 0


def labeled(sources: Sequence[str]) -> dict[str, str]:
    """Checkpoints by what visitors see of them: name, or end of the path (of the run), numbered where that is taken."""
    found: dict[str, str] = {}
    for source in dict.fromkeys(sources):
        path = Path(source)
        label = "/".join((run_of(path) or path).parts[-2:]) if path.exists() else source
        number = sum(taken == label or taken.startswith(f"{label} (") for taken in found)
        found[f"{label} ({number + 1})" if number else label] = source
    return found
