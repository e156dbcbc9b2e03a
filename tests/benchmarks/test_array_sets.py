"""Data sets made from arrays say the truth about their digits, motions, actions and subjects."""

import numpy as np
import pytest

from benchmarks import moving_digits, silhouette_videos
from vmae_zoo.data import open_catalog, read_clip


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Squares whose brightness is their label."""
    folder = tmp_path_factory.mktemp("digits")
    labels = np.arange(24) % 4
    images = np.zeros((24, 12, 12), np.uint8)
    images[:, 2:10, 2:10] = (60 + 60 * labels)[:, None, None]
    np.savez(folder / "few.npz", x_train=images[:16], y_train=labels[:16], x_test=images[16:], y_test=labels[16:])
    moving_digits.main([str(folder / "few.npz"), str(folder / "out"), "--clips", "10"])
    return folder, images, labels


def center(frame):
    """Row and column of the brightness's center on the torus."""
    angles = 2 * np.pi * np.arange(moving_digits.SIDE) / moving_digits.SIDE
    return np.array([np.angle((frame.sum(1 - axis) * np.exp(1j * angles)).sum()) for axis in (0, 1)])


def test_a_clip_shows_its_digit_in_its_motion(digits):
    folder, _, labels = digits
    by_digit, by_motion = (open_catalog(folder / "out" / f"{name}.csv") for name in ("digit", "motion"))
    assert [row.id for row in by_digit.records] == [row.id for row in by_motion.records]
    assert [row.split for row in by_digit.records] == ["train"] * 8 + ["test"] * 2
    assert len({row.id for row in by_digit.records}) == 10
    for digit, motion in zip(by_digit.records, by_motion.records, strict=True):
        assert by_digit.classes[digit.label] == str(labels[int(digit.path.stem)])
        clip = read_clip(digit.path, range(moving_digits.FRAMES))[..., 0].astype(float)
        assert clip.shape == (40, 64, 64)
        assert np.sort(clip[20].ravel())[-64:].mean() == pytest.approx(60 + 60 * labels[int(digit.path.stem)], abs=12)
        step = np.angle(np.exp(1j * np.diff([center(frame) for frame in clip], axis=0)))  # down, right
        down, right = step.sum(0)
        turned = (step[:-1, 0] * step[1:, 1] - step[:-1, 1] * step[1:, 0]).sum()  # above 0: anticlockwise as seen
        expected = {
            "left": right < -2.5, "right": right > 2.5, "up": down < -2.5, "down": down > 2.5,
            "clockwise": turned < -0.05, "anticlockwise": turned > 0.05,
        }  # fmt: skip
        assert expected[by_motion.classes[motion.label]], (by_motion.classes[motion.label], right, down, turned)


@pytest.mark.slow
def test_places_are_the_same_for_every_motion():
    digit = np.full((1, 1), 255, np.uint8)
    for motion in moving_digits.MOTIONS:
        clips = np.stack([moving_digits.clip_of(digit, motion, key)[17, :, :, 0] for key in range(200)])
        for axis in (1, 2):
            places = (clips.sum(axis) > 0).argmax(1)
            assert np.histogram(places, 4, (0, 64))[0] == pytest.approx(50, abs=25)


def test_keys_decide_everything(digits, tmp_path):
    folder = digits[0]
    moving_digits.make(folder / "few.npz", tmp_path / "again", 10)
    assert (tmp_path / "again" / "digit.csv").read_text() == (folder / "out" / "digit.csv").read_text()
    name = next((folder / "out" / "videos").iterdir()).name
    assert (tmp_path / "again" / "videos" / name).read_bytes() == (folder / "out" / "videos" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["few.npz", "out", "--clips", "20"], "out exists"),
        (["few.npz", "new", "--clips", "25"], "clips = 25"),
        (["other.npz", "new", "--clips", "20"], "has neither x and y nor x_train"),
        (["none.npz", "new"], "none.npz"),
    ],
)
def test_mistakes_are_errors_and_leave_nothing(digits, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(digits[0])
    np.savez("other.npz", z=np.zeros(3))
    with pytest.raises(SystemExit):
        moving_digits.main(arguments)
    assert message in capsys.readouterr().err
    assert not (digits[0] / "new").exists()


def test_each_split_of_silhouettes_leaves_one_subject_out(tmp_path):
    masks = np.random.default_rng(0).random((20, 6, 13)) < 0.5
    masks = masks.repeat(8, 1).repeat(8, 2)
    np.savez(
        tmp_path / "few.npz", frames=np.packbits(masks, axis=2), lengths=[9, 5, 6], label=[0, 1, 0],
        subject=["ann", "ben", "ann"], classes=["run", "walk"], names=["ann_run", "ben_walk", "ann_run2"],
    )  # fmt: skip
    silhouette_videos.main([str(tmp_path / "few.npz"), str(tmp_path / "out"), "--width", "104"])
    for split, left_out in ((1, "ann"), (2, "ben")):
        catalog = open_catalog(tmp_path / "out", split=split)
        assert catalog.classes == ["run", "walk"]
        assert {row.group for row in catalog.of("test")} == {left_out}
        assert left_out not in {row.group for row in catalog.of("train")}
        assert len(catalog.records) == 3
    clip = read_clip(tmp_path / "out" / "videos" / "ben_walk.mp4", range(5))
    assert clip.shape == (5, 48, 104, 3)
    assert ((clip[..., 0] > 127) == masks[9:14]).mean() > 0.99
    with pytest.raises(SystemExit):
        silhouette_videos.main([str(tmp_path / "few.npz"), str(tmp_path / "new"), "--width", "105"])
