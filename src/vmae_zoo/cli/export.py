"""``vmae-zoo export``: an encoder or classifier for ONNX runtimes or ``torch.export``."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--checkpoint", required=True, metavar="NAME_OR_PATH", help="a name of `vmae-zoo list`, a file or a folder"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="ends in .onnx or .pt2")
    parser.add_argument(
        "--task", choices=("encoder", "classify"), default="encoder", help="what of it (default encoder)"
    )
    parser.epilog = (
        "example: vmae-zoo export --checkpoint runs/classifier/20260102-030405 --task classify --out model.onnx"
    )


def run(args: argparse.Namespace) -> int:
    """Export, check, say how near it is."""
    from vmae_zoo.evaluation.export import export
    from vmae_zoo.zoo import load_pretrained

    difference = export(load_pretrained(args.checkpoint, task=args.task), args.out)
    print(f"largest difference from the model: {difference:.1e} of its largest output")
    print(args.out)
    return 0
