"""The embedded sets of moving glyphs: which clips they have, and how they are written."""

import csv
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vmae_zoo.datasets.synthetic.embedded import VERSION
from vmae_zoo.datasets.synthetic.encode import encode, write_clips
from vmae_zoo.datasets.synthetic.moving_glyphs import GLYPHS, MOTIONS, SPEEDS, make_clip
from vmae_zoo.randomness import hash_text, sample_key


@dataclass(frozen=True)
class GlyphSet:
    """A set of moving glyphs: level of difficulty, see `make_clip`, and numbers of training and test clips."""

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


def write_glyphs(spec: GlyphSet, folder: Path, workers: int | None = None) -> None:
    """Write the clips of a set of moving glyphs and ``clips.csv`` into an empty folder; workers: see `write_clips`."""
    rows = clip_rows(spec)
    (folder / "videos").mkdir()
    write_clips(partial(_write, folder, spec.level), rows, workers)
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
