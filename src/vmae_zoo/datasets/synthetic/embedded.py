"""The embedded data sets by name: created on first use and kept in the user's cache folder.

==================  ====================================================================================
demo                5,000 clips of a moving glyph on black; 1,000 of them are for testing
demo_small          its first 180 training and 60 test clips
demo_texture        as demo, over a textured background
demo_moving_camera  as demo_texture, with a camera that moves
demo_occlusion      as demo_moving_camera, with bars in front
scenes              360 clips of textured blobs whose class is how they move, in HMDB51's layout
==================  ====================================================================================

All are folders of H.264 files. Those of moving glyphs have ``clips.csv`` with the columns path, split, label (the
glyph), glyph, motion and speed. A data module reads them as ``root: synthetic:NAME``.
"""

import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
from tqdm import tqdm

from vmae_zoo.cache_folder import cache_folder
from vmae_zoo.datasets.process_pool import file_workers
from vmae_zoo.datasets.synthetic.encode import encode
from vmae_zoo.datasets.synthetic.moving_glyphs import GLYPHS, MOTIONS, SPEEDS, make_clip
from vmae_zoo.datasets.synthetic.scenes import write_scenes
from vmae_zoo.randomness import hash_text, sample_key

PREFIX = "synthetic:"
VERSION = 3  # part of the folder's name and of every clip's key


@dataclass(frozen=True)
class GlyphSet:
    """A set of moving glyphs.

    Args:
        level: of difficulty, see `vmae_zoo.datasets.synthetic.moving_glyphs.make_clip`.
        train: training clips.
        test: test clips.
    """

    level: str = "black"
    train: int = 4000
    test: int = 1000


GLYPH_SETS = {
    "demo": GlyphSet(),
    "demo_small": GlyphSet(train=180, test=60),
    "demo_texture": GlyphSet("texture"),
    "demo_moving_camera": GlyphSet("moving_camera"),
    "demo_occlusion": GlyphSet("occlusion"),
}
EMBEDDED = (*GLYPH_SETS, "scenes")


def is_embedded(root: str | Path | None) -> bool:
    """Whether a data root names an embedded set; None is `demo`."""
    return root is None or str(root).startswith(PREFIX)


def embedded_root(name: str | None = None) -> Path:
    """The folder of an embedded set, created if it does not exist.

    Two processes may create it at the same time: each works in a folder of its own, and the first to finish renames
    it, so that no process reads an incomplete set.

    Args:
        name: one of `EMBEDDED`, with or without the prefix "synthetic:"; None is "demo".
    """
    name = (name or "demo").removeprefix(PREFIX)
    if name not in EMBEDDED:
        raise ValueError(f"{PREFIX}{name} is not an embedded set: choose one of {', '.join(EMBEDDED)}")
    write = write_scenes if name == "scenes" else partial(write_glyphs, GLYPH_SETS[name])
    return create_once(cache_folder() / f"{name}-{VERSION}", write)


def create_once(root: Path, make: Callable[[Path], None]) -> Path:
    """A folder that ``make`` fills the first time, atomically; ``ValueError`` where the cache cannot be written."""
    if root.is_dir():
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        partial_root = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    except OSError as error:
        raise ValueError(
            f"the embedded clips cannot be written to {root.parent}: {error.strerror}; set VMAE_ZOO_CACHE to a folder"
            " that can"
        ) from None
    try:
        make(partial_root)
        partial_root.chmod(0o755)
        try:
            partial_root.rename(root)
        except OSError:  # another process finished first
            if not root.is_dir():
                raise
    finally:
        shutil.rmtree(partial_root, ignore_errors=True)
    return root


def write_glyphs(spec: GlyphSet, folder: Path, workers: int | None = None) -> None:
    """Write the clips of a set of moving glyphs and ``clips.csv``.

    Args:
        spec: the set.
        folder: an empty folder.
        workers: processes; None: one per core.
    """
    rows = clip_rows(spec)
    (folder / "videos").mkdir()
    if not sys.stderr.isatty():
        print(f"creating {len(rows)} embedded clips, once ...", file=sys.stderr, flush=True)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # before the fork: a child that ends OpenCV's threads waits forever
    try:
        with (
            file_workers(workers or os.cpu_count() or 1) as pool,
            tqdm(total=len(rows), desc="creating clips", unit="clip", disable=None, file=sys.stderr) as bar,
        ):
            for _ in pool.map(partial(_write, folder, spec.level), rows, chunksize=20):
                bar.update()
    finally:
        cv2.setNumThreads(threads)
    with (folder / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def clip_rows(spec: GlyphSet) -> list[dict[str, str]]:
    """The lines of ``clips.csv``: every combination of glyph, motion and speed equally often, up to one clip."""
    rows = []
    for split, count in (("train", spec.train), ("test", spec.test)):
        for number in range(count):
            glyph = GLYPHS[number % len(GLYPHS)]
            motion = MOTIONS[number // len(GLYPHS) % len(MOTIONS)]
            speed = tuple(SPEEDS)[number % len(SPEEDS)]  # 3 has no factor in common with 10 x 10
            path = f"videos/{split}_{number:04d}.mp4"
            rows.append(
                {"path": path, "split": split, "label": glyph, "glyph": glyph, "motion": motion, "speed": speed}
            )
    return rows


def _write(folder: Path, level: str, row: dict[str, str]) -> None:
    key = sample_key(VERSION, 0, hash_text(row["path"]))
    encode(folder / row["path"], make_clip(row["glyph"], row["motion"], row["speed"], key, level))
