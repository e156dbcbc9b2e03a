"""``vmae-zoo export``: an encoder or classifier for ONNX runtimes or ``torch.export``."""

import argparse
from pathlib import Path

from vmae_zoo.cli.checkpoint_option import add_checkpoint, check_checkpoint, load_checkpoint


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="a name that ends in .onnx or .pt2")
    parser.add_argument(
        "--task", choices=("encoder", "classify"), default="encoder", help="what to export (default encoder)"
    )
    parser.epilog = (
        "example: vmae-zoo export --checkpoint runs/classifier/20260102-030405 --task classify --out model.onnx"
    )


def run(args: argparse.Namespace) -> int:
    """Export and compare with the model."""
    check_checkpoint(args, args.task)
    from vmae_zoo.evaluation.export import check_suffix, export

    check_suffix(args.out)
    difference = export(load_checkpoint(args, args.task), args.out)
    print(f"largest difference from the model: {difference:.1e} of its largest output")
    print(args.out)
    return 0
