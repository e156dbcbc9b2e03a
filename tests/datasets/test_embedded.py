import csv
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vmae_zoo.data import open_catalog, probe, read_clip
from vmae_zoo.datasets.synthetic import embedded
from vmae_zoo.datasets.synthetic.embedded import create_once, embedded_root
from vmae_zoo.datasets.synthetic.glyph_sets import GLYPH_SETS, GlyphSet, clip_rows, write_glyphs
from vmae_zoo.datasets.synthetic.moving_glyphs import FRAMES, GLYPHS, LEVELS, MOTIONS, SIDE, SPEEDS, make_clip
from vmae_zoo.randomness import hash_text, sample_key


def test_every_combination_of_labels_comes_equally_often():
    rows = clip_rows(GLYPH_SETS["demo"])
    assert Counter(row["split"] for row in rows) == {"train": 4000, "test": 1000}
    for split, least in (("train", 13), ("test", 3)):
        counts = Counter((row["glyph"], row["motion"], row["speed"]) for row in rows if row["split"] == split)
        assert len(counts) == len(GLYPHS) * len(MOTIONS) * len(SPEEDS)
        assert set(counts.values()) <= {least, least + 1}


def test_the_small_set_is_read_as_a_catalog_by_any_label_column():
    for column, classes in ((None, GLYPHS), ("glyph", GLYPHS), ("motion", MOTIONS), ("speed", SPEEDS)):
        catalog = open_catalog("synthetic:demo_small", label_column=column)
        assert catalog.classes == sorted(classes)
        assert len(catalog.of("train")) == 180
        assert len(catalog.of("test")) == 60
    info = probe(catalog.records[0].path)
    assert (info.frames, info.height, info.width, info.fps, info.codec) == (FRAMES, SIDE, SIDE, 25, "h264")
    assert info.seekable


def test_files_hold_the_drawn_clip():
    with (embedded_root("demo_small") / "clips.csv").open() as file:
        row = next(csv.DictReader(file))
    key = sample_key(embedded.VERSION, 0, hash_text(row["path"]))
    drawn = make_clip(row["glyph"], row["motion"], row["speed"], key).astype(float)
    read = read_clip(embedded_root("demo_small") / row["path"], range(FRAMES))
    assert np.abs(read - drawn).mean() < 2  # of 255, after a lossy codec
    assert (read[drawn == 0] < 8).mean() > 0.9


@pytest.mark.slow
def test_clips_are_the_same_with_any_number_of_processes(tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        write_glyphs(GlyphSet("occlusion", train=8, test=4), tmp_path / name, workers)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 12 + 1
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("level", LEVELS)
def test_a_glyph_moves_and_no_two_clips_share_a_shape(level):
    clips = [make_clip("K", "left", "medium", key, level).astype(float) for key in range(4)]
    for clip in clips:
        assert np.abs(np.diff(clip, axis=0)).mean() > 0.5
    firsts = [clip[0] for clip in clips]
    for n, first in enumerate(firsts):
        for other in firsts[:n]:
            aligned = [
                np.abs(first - np.roll(other, (dy, dx), (0, 1))).mean() for dy in range(SIDE) for dx in range(SIDE)
            ]
            assert min(aligned) > 1


@pytest.mark.parametrize(
    ("direction", "axis", "sign"), [("left", 2, -1), ("right", 2, 1), ("up", 1, -1), ("down", 1, 1)]
)
def test_directions_are_what_they_are_called(direction, axis, sign):
    clip = make_clip("A", direction, "medium", 5).astype(float)[..., 0]
    best = max(range(-8, 9), key=lambda by: (clip[8] * np.roll(clip[0], by, axis - 1)).sum())
    assert 6 <= sign * best <= 8 + 1  # 0.8 to 1.1 pixels per frame


@pytest.mark.slow
def test_motion_is_in_no_single_frame():
    """A linear classifier on one frame stays at chance, and so it does on another clip's frame of the same labels."""
    clips = [make_clip(GLYPHS[n % 10], motion, "medium", n) for n, motion in enumerate(MOTIONS * 60)]
    pixels = np.stack([clip[10, :, :, 0].ravel() for clip in clips]).astype(float)
    labels = np.array(MOTIONS * 60)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=200)).fit(pixels[:400], labels[:400])
    assert model.score(pixels[400:], labels[400:]) < 0.19  # chance 0.1, standard error 0.021


@pytest.mark.slow
def test_two_processes_at_once_get_one_complete_folder(tmp_path):
    program = (
        "from vmae_zoo.datasets.synthetic import embedded, glyph_sets\n"
        "glyph_sets.GLYPH_SETS['demo_small'] = glyph_sets.GlyphSet(train=30, test=10)\n"
        "root = embedded.embedded_root('demo_small')\n"
        "print(len(list((root / 'videos').iterdir())), (root / 'clips.csv').exists())"
    )
    environment = {**os.environ, "VMAE_ZOO_CACHE": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=120)[0].split() for process in both] == [["40", "True"]] * 2
    assert [path.name for path in tmp_path.iterdir()] == [f"demo_small-{embedded.VERSION}"]


def test_the_second_to_finish_uses_the_folder_of_the_first(tmp_path):
    def slowly(folder):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "first").touch()
        (folder / "second").touch()

    assert create_once(tmp_path / "set", slowly) == tmp_path / "set"
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_interrupted_start_leaves_nothing(tmp_path):
    def interrupted(folder):
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_once(tmp_path / "set", interrupted)
    assert not list(tmp_path.iterdir())


def test_an_unusable_cache_folder_is_an_error_that_names_the_variable(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VMAE_ZOO_CACHE", str(tmp_path / "file/below"))
    with pytest.raises(ValueError, match=r"/file/below: .*VMAE_ZOO_CACHE"):
        embedded_root()


def test_an_unknown_set_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"synthetic:demos .* demo, demo_small"):
        open_catalog("synthetic:demos")
