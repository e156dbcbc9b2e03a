"""What has no motion vectors is refused before any training, in one sentence."""

import numpy as np
import pytest

from vmae_zoo.cli.main import main
from vmae_zoo.data import ClipDataset, Row, open_catalog


class WantsMotion:
    wants_motion = True

    def __call__(self, clip, key, motion):
        return np.float32(motion.has_vectors)


@pytest.fixture(scope="module")
def videos(encode, tmp_path_factory):
    """Two files without vectors, and one with them."""
    root = tmp_path_factory.mktemp("videos")
    still = [encode(root / f"{n}.mkv", "mjpeg", 12, pix_fmt="yuvj420p") for n in range(2)]
    return [*still, encode(root / "2.mp4")]


def dataset(paths, **settings):
    return ClipDataset([Row(str(path), path) for path in paths], 2, 2, 32, extras={"x": WantsMotion()}, **settings)


def test_videos_without_vectors_are_refused_and_their_codec_named(videos):
    with pytest.raises(
        ValueError, match=r"no motion vectors in the videos tried \(mjpeg, .*0\.mkv among them\): choose"
    ):
        dataset(videos[:2])


def test_one_file_with_vectors_is_enough(videos):
    clips = dataset(videos)
    assert [clips[n, 0][0]["vectors"] for n in range(3)] == [False, False, True]


def test_what_cannot_be_read_or_asks_for_no_motion_is_not_refused(videos, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    dataset([tmp_path / "bad.mp4"])
    dataset([])
    ClipDataset([Row("0", videos[0])], 2, 2, 32, rand_augment=4, extras={"x": lambda clip, key: 0})


def test_a_cache_is_refused(small_set, tmp_path):
    assert main(["cache", str(small_set), str(tmp_path), "--workers", "1"]) == 0
    rows = open_catalog(tmp_path).rows
    with pytest.raises(
        ValueError, match=r"shard-.* lies in a cache, whose frames have no motion vectors: give data\.root"
    ):
        ClipDataset(rows, 2, 2, 32, extras={"x": WantsMotion()})


def test_augmentation_that_moves_pixels_is_refused_in_training(videos):
    with pytest.raises(ValueError, match=r"data\.rand_augment = 4 turns and shifts frames"):
        dataset(videos, rand_augment=4)
    dataset(videos, rand_augment=4, train=False)
