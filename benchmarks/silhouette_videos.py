"""Sequences of person masks as videos, with a split for each subject left out.

``python -m benchmarks.silhouette_videos weizmann.npz OUT`` writes videos and ``list.csv``, whose columns
``split1``, ``split2``, ... each leave one subject out, and whose ``group`` is the subject.

The npz holds ``frames``, uint8 (N, H, W/8), the bit-packed masks of all sequences concatenated; ``lengths``, the number
of frames of each sequence; ``label``, ``subject`` and ``names``, one entry per sequence; and ``classes``. Meant for the
silhouettes of the Weizmann actions (Gorelick, Blank, Shechtman, Irani, Basri, "Actions as Space-Time Shapes", TPAMI
2007): 93 sequences, 10 actions, 9 subjects. They are not part of this package.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.video_sets import write_data

KEYS = ("frames", "lengths", "label", "subject", "classes", "names")


def clip_of(packed_THW: np.ndarray, width: int) -> np.ndarray:
    """uint8 (T, H, width, 3), white persons on black; odd sides lose a row or column."""
    mask = np.unpackbits(packed_THW, axis=2)[:, : packed_THW.shape[1] // 2 * 2, : width // 2 * 2]
    return np.repeat(mask[..., None] * np.uint8(255), 3, 3)


def make(file: Path, out: Path, width: int = 180) -> None:
    """Write a video of each sequence and the list file.

    Args:
        file: npz file, see the module docstring.
        out: folder to create.
        width: width of a frame in pixels; packed bytes may have a few more.

    Raises:
        ValueError: the file is invalid, or the folder exists.
    """
    with np.load(file) as arrays:
        if missing := [key for key in KEYS if key not in arrays]:
            raise ValueError(f"{file} has no {', '.join(missing)}: it must have {', '.join(KEYS)}")
        frames, lengths, label, subject, classes, names = (arrays[key] for key in KEYS)
    if lengths.sum() != len(frames) or not 0 < width <= 8 * frames.shape[2]:
        raise ValueError(
            f"{file}: lengths count {lengths.sum()} frames of {len(frames)}, {width} of {8 * frames.shape[2]} columns"
        )
    ends = np.cumsum(lengths)
    subjects = sorted({str(name) for name in subject})
    videos, lines = {}, []
    for end, length, number, who, name in zip(ends, lengths, label, subject, names, strict=True):
        path = f"videos/{name}.mp4"
        videos[path] = partial(clip_of, frames[end - length : end], width)
        splits = {f"split{n}": "test" if who == left_out else "train" for n, left_out in enumerate(subjects, 1)}
        lines.append({"path": path, "label": str(classes[number]), "group": str(who), **splits})
    write_data(out, videos, {"list.csv": lines})


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.silhouette_videos", description=__doc__.split("\n")[0])
    parser.add_argument("npz", type=Path, help=", ".join(KEYS))
    parser.add_argument("out", type=Path, help="folder to create")
    parser.add_argument("--width", type=int, default=180, metavar="PIXELS", help="of a frame (default 180)")
    args = parser.parse_args(arguments)
    try:
        make(args.npz, args.out, args.width)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(args.out / "list.csv")


if __name__ == "__main__":
    main()
