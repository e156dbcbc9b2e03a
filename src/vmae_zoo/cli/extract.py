"""``vmae-zoo extract``: features of any videos."""

import argparse
from pathlib import Path

from vmae_zoo.cli.checkpoint_option import check_checkpoint, load_checkpoint
from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.cli.probing import add_encoder, check_counts, device_of, workers_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_encoder(parser, cached=False)
    parser.add_argument("--root", required=True, metavar="DIR", help="folder of the videos, or a list file")
    parser.add_argument("--layout", metavar="NAME", help="layout of the folder (default: detected)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the features")
    parser.add_argument(
        "--hop", type=int, metavar="FRAMES", help="from one window to the next (default: the length of a window)"
    )
    parser.add_argument("--pool", choices=("mean", "cls", "tokens"), default="mean", help="of a window (default mean)")
    parser.add_argument(
        "--format",
        choices=("safetensors", "npz", "parquet"),
        default="safetensors",
        help="of the files (default safetensors); parquet needs pip install 'vmae-zoo[parquet]'",
    )
    parser.add_argument("--matrix", type=Path, metavar="FILE", help="also write all windows as one array, an .npz")
    add_json(parser, "the index")
    parser.epilog = "example: vmae-zoo extract --checkpoint videomae_base.k400-1600 --root videos --out features"


def run(args: argparse.Namespace) -> int:
    """Write a file per video and the index."""
    from vmae_zoo.datasets.layouts import open_catalog

    check_counts(args)
    if args.out.is_file():
        raise ValueError(f"--out {args.out} is a file: name a folder for the features")
    if args.matrix and (args.pool == "tokens" or args.matrix.suffix != ".npz"):
        raise ValueError(f"--matrix {args.matrix}: one feature per window as .npz, so --pool is mean or cls")
    catalog = open_catalog(args.root, args.layout)
    for note in catalog.notes:
        print(note)
    records = catalog.records
    check_checkpoint(args)
    device = device_of(args)
    from vmae_zoo.evaluation.extract import check_format, extract

    check_format(args.format)
    index = extract(
        load_checkpoint(args),
        records,
        args.out,
        hop=args.hop,
        pool=args.pool,
        form=args.format,
        device=device,
        batch_size=args.batch_size,
        workers=workers_of(args, device),
        half=args.half,
    )
    write_json(args.json, index)
    if args.matrix:
        from vmae_zoo.evaluation.matrix import write_matrix

        print(f"{write_matrix(args.out, index, args.matrix)} windows: {args.matrix}")
    unreadable = [entry for entry in index if "reason" in entry]
    for entry in unreadable[:5]:
        print(f"unreadable: {entry['reason']}")
    print(f"{len(index) - len(unreadable)} videos, {len(unreadable)} unreadable: {args.out / 'index.json'}")
    return 0 if len(unreadable) < len(index) else 1
