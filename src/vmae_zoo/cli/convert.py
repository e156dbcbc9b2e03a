"""``vmae-zoo convert``: weights into another program's layout, or into this package's."""

import argparse
import json
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", help="a file, a folder, a name from `vmae-zoo list` or hf://org/repo")
    parser.add_argument("target", type=Path, help="a folder for vmae_zoo and transformers, else a .pth or .safetensors")
    parser.add_argument(
        "--to",
        required=True,
        choices=("vmae_zoo", "videomae", "transformers", "mae", "mae_st", "vjepa", "timesformer", "timm"),
        help="the layout to write",
    )
    for name in ("num-heads", "decoder-num-heads", "predictor-num-heads", "image-size", "frames"):
        parser.add_argument(f"--{name}", type=int, metavar="N", help="where the file does not say")
    parser.add_argument("--method", help="whose weights they are: videomae, videomae_v2, mgmae, vjepa or vjepa2")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write what was done here")
    parser.epilog = (
        "example: vmae-zoo convert runs/videomae/20260101-120000/checkpoints/last.ckpt hub_folder --to transformers"
    )


def run(args: argparse.Namespace) -> int:
    """Convert; the last line is the target."""
    from vmae_zoo.zoo.convert_checkpoint import rewrite

    keys = ("num_heads", "decoder_num_heads", "predictor_num_heads", "image_size", "frames", "method")
    told = {key: getattr(args, key) for key in keys if getattr(args, key) is not None}
    loaded = rewrite(args.source, args.target, args.to, **told)
    print(loaded.line())
    print(args.target)
    if args.json:
        done = {"source": args.source, "target": str(args.target), "layout": args.to, "method": loaded.method}
        args.json.write_text(json.dumps(done, indent=2) + "\n")
    return 0
