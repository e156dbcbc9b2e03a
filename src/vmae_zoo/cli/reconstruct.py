"""``vmae-zoo reconstruct``: reconstructions of videos by a checkpoint."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmae_zoo.cli.checkpoint_option import add_checkpoint, check_checkpoint, load_checkpoint
from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.setting_checks import check_least


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    add_pictures(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the masks (default 0)")
    add_json(parser, "the numbers")
    parser.epilog = (
        "example: vmae-zoo reconstruct --checkpoint runs/videomae/20260102-030405 --video clip.mp4 --out moving.gif"
    )


def run(args: argparse.Namespace) -> int:
    """Draw a panel per video, all in one picture; print and write the numbers."""
    check_pictures(args)
    check_checkpoint(args, "pretrain")
    from tqdm import tqdm

    from vmae_zoo.cli.probing import device_of
    from vmae_zoo.viz.clips import read_batch
    from vmae_zoo.viz.picture import save_panels
    from vmae_zoo.viz.reconstruction import check_method, panels, reconstruct

    device = device_of(args)
    method = check_method(load_checkpoint(args, "pretrain")).to(device)
    rows: list[dict[str, Any]] = []
    drawn = []
    for video in tqdm(args.video, unit="video", disable=None if len(args.video) > 1 else True):
        result = reconstruct(method, read_batch(method, [video], args.seed))
        drawn += panels(result, result.clip.shape[2], [f"{type(method).__name__}: {video.name}"])
        rows.append({"video": str(video), **result.numbers()})
        tqdm.write(line(rows[-1]))
    save_panels(drawn, args.out, columns=args.columns)
    write_json(args.json, {"checkpoint": str(args.checkpoint), "method": type(method).__name__, "videos": rows})
    print(args.out)
    return 0


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of subcommands that draw videos."""
    parser.add_argument("--video", required=True, nargs="+", type=Path, metavar="FILE", help="videos")
    add_picture(parser)
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (default: a GPU if there is one)")


def add_picture(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the picture that is written."""
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help=".png, a contact sheet; .gif or .mp4, which move"
    )
    parser.add_argument("--columns", type=int, default=8, metavar="N", help="frames of each clip in a .png (default 8)")


def check_pictures(args: argparse.Namespace) -> None:
    """``ValueError`` for videos that do not exist, or pictures that cannot be written."""
    check_picture(args)
    check_videos(args.video)


def check_picture(args: argparse.Namespace) -> None:
    """``ValueError`` for a picture that cannot be written."""
    from vmae_zoo.viz.picture import check_suffix

    check_least("--", 1, columns=args.columns)
    check_suffix(args.out)


def check_videos(videos: Sequence[Path]) -> None:
    """``ValueError`` if a file is missing."""
    for video in videos:
        if not video.is_file():
            raise ValueError(f"--video {video}: no such file")


def line(row: dict[str, Any]) -> str:
    """A video's numbers on one line."""
    return (
        f"{row['video']}  mse {row['mse']:.5f} ({row['psnr']:.2f} dB)  "
        f"zero prediction {row['zero_mse']:.5f} ({row['zero_psnr']:.2f} dB)  ratio {row['mse_over_zero']:.3f}"
    )
