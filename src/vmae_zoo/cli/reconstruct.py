"""``vmae-zoo reconstruct``: reconstructions of videos by a checkpoint."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmae_zoo.cli.checkpoint_option import add_checkpoint, check_checkpoint, load_checkpoint
from vmae_zoo.cli.json_option import add_json, write_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument("--video", required=True, nargs="+", type=Path, metavar="FILE", help="videos to reconstruct")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder for the pictures and numbers.json"
    )
    parser.add_argument("--columns", type=int, default=8, help="frames shown of each clip (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the masks (default 0)")
    parser.add_argument("--gif", action="store_true", help="also write an animated GIF of each clip")
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (default: a GPU if there is one)")
    add_json(parser, "the numbers")
    parser.epilog = (
        "example: vmae-zoo reconstruct --checkpoint runs/videomae/20260102-030405 --video clip.mp4 --out pictures"
    )


def run(args: argparse.Namespace) -> int:
    """Write a picture per video; print and write the numbers."""
    if args.columns < 1:
        raise ValueError(f"--columns {args.columns}: must be >= 1")
    check_videos(args.video)
    check_checkpoint(args, "pretrain")
    from tqdm import tqdm

    from vmae_zoo.cli.probing import device_of
    from vmae_zoo.viz.clips import read_batch
    from vmae_zoo.viz.picture import contact_sheet, write_gif
    from vmae_zoo.viz.reconstruction import check_method, panels, reconstruct

    device = device_of(args)
    method = check_method(load_checkpoint(args, "pretrain")).to(device)
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for video in tqdm(args.video, unit="video", disable=None if len(args.video) > 1 else True):
        result = reconstruct(method, read_batch(method, [video], args.seed))
        (panel,) = panels(result, args.columns, [f"{type(method).__name__}: {video.name}"])
        picture = free_name(args.out, video.stem, [row["picture"] for row in rows])
        contact_sheet([panel]).save(picture)
        if args.gif:
            (animated,) = panels(result, result.clip.shape[2], [video.name])
            write_gif(animated, picture.with_suffix(".gif"))
        rows.append({"video": str(video), "picture": str(picture), **result.numbers()})
        tqdm.write(line(rows[-1]))
    for file in (args.out / "numbers.json", args.json):
        write_json(file, {"checkpoint": str(args.checkpoint), "method": type(method).__name__, "videos": rows})
    return 0


def check_videos(videos: Sequence[Path]) -> None:
    """``ValueError`` if a file is missing."""
    for video in videos:
        if not video.is_file():
            raise ValueError(f"--video {video}: no such file")


def free_name(folder: Path, stem: str, taken: list[str]) -> Path:
    """``<stem>.png``, or ``<stem>-2.png`` if another video of this call has that name."""
    names = (folder / f"{stem}{f'-{number}' if number > 1 else ''}.png" for number in range(1, len(taken) + 2))
    return next(name for name in names if str(name) not in taken)


def line(row: dict[str, Any]) -> str:
    """A video's numbers on one line."""
    return (
        f"{row['picture']}  mse {row['mse']:.5f} ({row['psnr']:.2f} dB)  "
        f"zero prediction {row['zero_mse']:.5f} ({row['zero_psnr']:.2f} dB)  ratio {row['mse_over_zero']:.3f}"
    )
