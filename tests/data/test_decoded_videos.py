import numpy as np
import pytest
import torch

from vmae_zoo.data import ClipDataModule, open_catalog, reader
from vmae_zoo.data.clip_spec import Augmentation, ClipRequest, ClipSpec
from vmae_zoo.data.dataset import ClipDataset, collate
from vmae_zoo.data.decoded_videos import DecodedVideos, fits_memory
from vmae_zoo.video.decode import VideoError

CLIP = ClipSpec(8, 2, 32)


@pytest.fixture(scope="module")
def records():
    return open_catalog("synthetic:demo_small").of("train")[:12]


@pytest.mark.parametrize(("crop", "short_side"), [("centre", None), ("multi_scale", 24), ("random_resized", None)])
def test_clips_from_memory_equal_decoded_clips_in_every_epoch(records, crop, short_side):
    settings = CLIP, Augmentation(crop, short_side=short_side), ClipRequest(views=2)
    decoded = ClipDataset(records, *settings)
    kept = ClipDataset(records, *settings, reader=DecodedVideos())
    for epoch in range(3):
        one, two = (collate([clips[(n, epoch)] for n in range(len(records))]) for clips in (decoded, kept))
        for name in one:
            assert torch.equal(one[name], two[name])


def test_a_video_is_decoded_once(records, monkeypatch):
    reads = []

    def counted(path, *args):
        reads.append(path)
        return read(path, *args)

    read = reader.read_clip
    monkeypatch.setattr(reader, "read_clip", counted)
    clips = ClipDataset(records, CLIP, reader=DecodedVideos())
    for epoch in range(3):
        for n in range(len(records)):
            clips[(n, epoch)]
    assert sorted(reads) == sorted(record.path for record in records)


def test_a_video_with_a_damaged_end_is_read_clip_by_clip(records, monkeypatch):
    def damaged(path, ids, *_):
        if max(ids) > 10:
            raise VideoError("damaged")
        return np.zeros((len(ids), 32, 32, 3), np.uint8)

    monkeypatch.setattr(reader, "read_clip", damaged)
    decoded = DecodedVideos()
    for _ in range(2):
        assert len(decoded.read_clip(records[0].path, np.arange(8))) == 8
        with pytest.raises(VideoError):
            decoded.read_clip(records[0].path, np.arange(20))


def test_only_small_sets_of_small_videos_stay_in_memory(records, encode, tmp_path):
    assert fits_memory([records], 1, 32, reader.FILES)  # 12 x 24 x 32 x 32 x 3 bytes = 0.84 MB
    assert not fits_memory([records], 1, 64, reader.FILES)  # validation decodes four times as many pixels
    assert not fits_memory([records], 0, 32, reader.FILES)
    assert not fits_memory([open_catalog("synthetic:demo_small").records], 1, 32, reader.FILES)
    encode(tmp_path / "a" / "large.mp4", frames=60, size=(96, 96))
    encode(tmp_path / "b" / "large.mp4", frames=60, size=(96, 96))
    assert not fits_memory([open_catalog(tmp_path).records], 1000, 32, reader.FILES)


@pytest.mark.parametrize(("workers", "kept"), [(None, True), (0, True), (2, False)])
def test_workers_asked_for_decode_for_themselves(workers, kept):
    data = ClipDataModule("synthetic:demo_small", workers=workers, memory_mb=64, frames=8, size=32)
    assert (data.decoded is not None) == kept
