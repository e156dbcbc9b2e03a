"""``vmae-zoo reconstruct``: what a checkpoint makes of the hidden cubes of given videos."""

import argparse
import json
from pathlib import Path
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--checkpoint", required=True, metavar="NAME_OR_PATH", help="a name of `vmae-zoo list`, a file or a folder"
    )
    parser.add_argument("--video", required=True, nargs="+", type=Path, metavar="FILE", help="videos to reconstruct")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder for the pictures and numbers.json"
    )
    parser.add_argument("--columns", type=int, default=8, help="frames shown of each clip (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other masks (default 0)")
    parser.add_argument("--gif", action="store_true", help="also write a moving picture of each clip")
    parser.add_argument("--device", default=None, help="cpu, cuda, ...; the default is a GPU where there is one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    parser.epilog = (
        "example: vmae-zoo reconstruct --checkpoint runs/videomae/20260102-030405 --video clip.mp4 --out pictures"
    )


def run(args: argparse.Namespace) -> int:
    """Write a picture per video; print and write the numbers."""
    import torch
    from tqdm import tqdm

    from vmae_zoo.viz import reconstruct
    from vmae_zoo.viz.clips import read_batch
    from vmae_zoo.viz.picture import sheet, write_gif
    from vmae_zoo.viz.reconstruction import check_method, panels
    from vmae_zoo.zoo import load_pretrained

    if args.columns < 1:
        raise ValueError(f"--columns {args.columns}: it counts from 1")
    method = check_method(load_pretrained(args.checkpoint, task="pretrain"))
    try:
        method = method.to(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (RuntimeError, AssertionError) as error:  # not a device, or not one of this machine
        raise ValueError(f"--device {args.device}: {str(error).splitlines()[0]}") from error
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for video in tqdm(args.video, unit="video", disable=None if len(args.video) > 1 else True):
        result = reconstruct(method, read_batch(method, [video], args.seed))
        (panel,) = panels(result, args.columns, [f"{type(method).__name__}: {video.name}"])
        picture = free_name(args.out, video.stem, [row["picture"] for row in rows])
        sheet([panel]).save(picture)
        if args.gif:
            (moving,) = panels(result, result.clip.shape[2], [video.name])
            write_gif(moving, picture.with_suffix(".gif"))
        rows.append({"video": str(video), "picture": str(picture), **result.numbers()})
        tqdm.write(line(rows[-1]))
    text = json.dumps({"checkpoint": str(args.checkpoint), "method": type(method).__name__, "videos": rows}, indent=2)
    for file in filter(None, (args.out / "numbers.json", args.json)):
        file.write_text(text + "\n")
    return 0


def free_name(folder: Path, stem: str, taken: list[str]) -> Path:
    """``<stem>.png``, or ``<stem>-2.png`` where another video of this call has that name."""
    names = (folder / f"{stem}{f'-{number}' if number > 1 else ''}.png" for number in range(1, len(taken) + 2))
    return next(name for name in names if str(name) not in taken)


def line(row: dict[str, Any]) -> str:
    """A video's numbers on one line."""
    return (
        f"{row['picture']}  mse {row['mse']:.5f} ({row['psnr']:.2f} dB)  "
        f"zero prediction {row['zero_mse']:.5f} ({row['zero_psnr']:.2f} dB)  ratio {row['mse_over_zero']:.3f}"
    )
