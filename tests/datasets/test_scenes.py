from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vmae_zoo.data import open_catalog, probe, read_clip
from vmae_zoo.datasets.synthetic.embedded import embedded_root
from vmae_zoo.datasets.synthetic.scene import CLASSES, FRAMES, SIDE
from vmae_zoo.datasets.synthetic.scenes import write_scenes


@pytest.fixture(scope="module")
def clips():
    """Half of the training and test clips, every second frame at half size, with their labels."""

    cv2.setNumThreads(1)

    def read(split):
        rows = open_catalog(embedded_root("scenes")).of(split)[::2]
        ids = np.arange(0, 24, 2)
        return [read_clip(row.path, ids, SIDE // 2) for row in rows], [row.label for row in rows]

    return read("train"), read("val")


def accuracy(clips, features, classifier):
    (train, labels), (test, wanted) = clips
    model = make_pipeline(StandardScaler(), classifier).fit([features(clip) for clip in train], labels)
    return model.score([features(clip) for clip in test], wanted)


def pixels(clip):
    return cv2.resize(clip[8], (16, 16), interpolation=cv2.INTER_AREA).ravel() / 255


def edges(clip):
    """Histograms of edge directions in an 8 x 8 grid."""
    gray = cv2.cvtColor(clip[8], cv2.COLOR_RGB2GRAY).astype(float)
    down, right = np.gradient(gray)
    direction = ((np.arctan2(down, right) / np.pi + 1) * 3.999).astype(int)
    rows, columns = np.mgrid[: SIDE // 2, : SIDE // 2] // 8
    histogram = np.zeros((8, 8, 8))
    np.add.at(histogram, (rows, columns, direction), np.hypot(down, right))
    return np.sqrt(histogram).ravel()


def motion(clip):
    """Statistics of the optical flow against the camera's: where to, how it turns, how it spreads, how it changes."""
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    statistics = []
    for before, after in pairwise(gray):
        flow = estimator.calc(before, after, None)
        flow -= np.median(flow.reshape(-1, 2), axis=0)
        u, v = flow[..., 0], flow[..., 1]
        turn = np.gradient(v, axis=1) - np.gradient(u, axis=0)
        spread = np.gradient(u, axis=1) + np.gradient(v, axis=0)
        speed = np.hypot(u, v)
        moving = speed > 0.5
        statistics.append([(part * moving).sum() / (moving.sum() + 20) for part in (u, v, turn, spread, speed)])
    table = np.array(statistics)
    return np.concatenate(
        [table.mean(0), np.median(table, axis=0), table.std(0), np.abs(np.diff(table, axis=0)).mean(0)]
    )


@pytest.mark.slow
@pytest.mark.parametrize("features", [pixels, edges])
@pytest.mark.parametrize("classifier", [LogisticRegression(C=0.01, max_iter=200), KNeighborsClassifier(5)], ids=str)
def test_a_single_frame_does_not_tell_the_class(clips, features, classifier):
    assert accuracy(clips, features, classifier) < 0.22  # chance 0.1, standard error 0.039


@pytest.mark.slow
def test_motion_tells_the_class(clips):
    assert accuracy(clips, motion, LogisticRegression(max_iter=500)) > 0.6


def test_clips_are_quick_to_decode_video_files():
    path = embedded_root("scenes") / CLASSES[0] / f"{CLASSES[0]}_000.mp4"
    info = probe(path)
    assert (info.frames, info.height, info.width, info.fps, info.codec) == (FRAMES, SIDE, SIDE, 25, "h264")
    assert info.seekable
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [number for number, frame in enumerate(frames) if frame.key_frame] == [0, 16, 32]
    assert av.video.frame.PictureType.B not in {frame.pict_type for frame in frames}


@pytest.mark.slow
def test_clips_are_the_same_whoever_makes_them(tmp_path):
    write_scenes(tmp_path / "one", clips=1, workers=1)
    write_scenes(tmp_path / "two", clips=1, workers=4)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 10 + 30
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    again = read_clip(tmp_path / "one/grow/grow_000.mp4", range(FRAMES))
    np.testing.assert_array_equal(again, read_clip(embedded_root("scenes") / "grow/grow_000.mp4", range(FRAMES)))
