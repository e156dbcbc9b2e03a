"""``vmae-zoo convert``: write weights in the layout of another program, or of this package."""

import argparse
from pathlib import Path

from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.zoo.convert import LAYOUTS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", help="a file, a folder, a name from `vmae-zoo list` or hf://org/repo")
    parser.add_argument("target", type=Path, help="a folder (vmae_zoo, transformers), or a .pth or .safetensors file")
    parser.add_argument("--to", required=True, choices=("vmae_zoo", *LAYOUTS), help="layout to write")
    for name in ("num-heads", "decoder-num-heads", "predictor-num-heads", "image-size", "frames"):
        parser.add_argument(f"--{name}", type=int, metavar="N", help="if the file does not state it")
    parser.add_argument(
        "--method",
        metavar="NAME",
        help="videomae, videomae_v2 or mgmae, which share a layout; vjepa or vjepa2; or a class of your own",
    )
    add_json(parser, "the result")
    parser.epilog = (
        "example: vmae-zoo convert runs/videomae/20260101-120000/checkpoints/last.ckpt hub_folder --to transformers"
    )


def run(args: argparse.Namespace) -> int:
    """Convert; the last line is the target."""
    from vmae_zoo.zoo.resolve import find_source

    find_source(args.source)
    from vmae_zoo.zoo.convert_checkpoint import convert

    keys = ("num_heads", "decoder_num_heads", "predictor_num_heads", "image_size", "frames", "method")
    hints = {key: vars(args)[key] for key in keys if vars(args)[key] is not None}
    loaded = convert(args.source, args.target, args.to, **hints)
    print(loaded.line())
    print(args.target)
    done = {"source": args.source, "target": str(args.target), "layout": args.to, "method": loaded.method}
    write_json(args.json, done)
    return 0
