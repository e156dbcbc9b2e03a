import numpy as np
import pytest
import torch
from tests.recording_reader import RecordingReader

from vmae_zoo.data import Augmentation, ClipDataset, ClipRecord, ClipRequest, ClipSpec, collate, read_clip
from vmae_zoo.data.sampling import dense_ids, dense_start
from vmae_zoo.data.transforms import center_crop, crop_and_resize, multi_scale_box, random_box, random_flip
from vmae_zoo.datasets.scan import list_videos
from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key

CLIP = ClipSpec(frames=3, stride_frames=2, size=16)
FRAME, SCALES = (32, 40), Augmentation().scales


def multi_scale(clip, rng, flip=False):
    return crop_and_resize(clip, multi_scale_box(clip.shape[1:3], 16, rng, SCALES), 16, flip)


@pytest.fixture(scope="module")
def rows(small_set):
    return [ClipRecord.below(small_set, path, label) for label, path in enumerate(list_videos(small_set))]


def broken(path, content=b""):
    path.write_bytes(content)
    return path


def test_a_training_clip_is_a_function_of_its_key(rows):
    (item,) = ClipDataset(rows, CLIP, Augmentation(flip=True), seed=5)[4, 2]
    key = sample_key(5, 2, hash_text(rows[4].id), 0)
    start = dense_start(12, 3, 2, KeyedRNG(key, "start"))
    clip = read_clip(rows[4].path, dense_ids(12, 3, 2, start))
    expected = multi_scale(clip, KeyedRNG(key, "crop"), random_flip(KeyedRNG(key, "flip")))
    assert (item["key"], item["index"], item["label"]) == (key, 4, 4)
    assert item["video"].dtype == np.uint8
    np.testing.assert_array_equal(item["video"], expected)


def test_random_resized_and_center_crops(rows):
    key = sample_key(0, 0, hash_text(rows[0].id), 0)
    ids = dense_ids(12, 3, 2, dense_start(12, 3, 2, KeyedRNG(key, "start")))
    (item,) = ClipDataset(rows, CLIP, Augmentation("random_resized"))[0, 0]
    expected = crop_and_resize(read_clip(rows[0].path, ids), random_box(FRAME, KeyedRNG(key, "crop")), 16)
    np.testing.assert_array_equal(item["video"], expected)
    (item,) = ClipDataset(rows, CLIP, Augmentation("centre"))[0, 0]
    np.testing.assert_array_equal(item["video"], center_crop(read_clip(rows[0].path, ids, 16), 16))


def test_an_evaluation_clip_is_the_middle_one_in_every_epoch(rows):
    clips = ClipDataset(rows, CLIP, Augmentation(flip=True), train=False, repeats=4)
    (first,), (later,) = clips[3, 0], clips[3, 7]
    np.testing.assert_array_equal(first["video"], later["video"])
    assert first["key"] == later["key"]
    expected = center_crop(read_clip(rows[3].path, [3, 5, 7], 16), 16)  # (12 - 3 x 2) // 2 = 3
    np.testing.assert_array_equal(first["video"], expected)


def test_epochs_and_seeds_give_different_keys(rows):
    keys = {ClipDataset(rows, CLIP, seed=seed).keys(0, epoch)[0] for seed in range(3) for epoch in range(3)}
    assert len(keys) == 9


def test_repeats_share_the_frames_and_decode_once(rows):
    reader = RecordingReader()
    items = ClipDataset(rows, CLIP, repeats=4, reader=reader)[2, 1]
    assert len(reader.calls) == 1
    assert [item["key"] for item in items] == [sample_key(0, 1, hash_text(rows[2].id), r) for r in range(4)]
    frames = read_clip(*reader.calls[0])
    for item in items:
        np.testing.assert_array_equal(item["video"], multi_scale(frames, KeyedRNG(item["key"], "crop")))


def test_a_second_view_has_its_own_start_and_crop(rows):
    items = [ClipDataset(rows, CLIP, request=ClipRequest(views=2))[0, epoch][0] for epoch in range(4)]
    assert all(item["other"].shape == item["video"].shape for item in items)
    key = items[0]["key"]
    start = dense_start(12, 3, 2, KeyedRNG(key, "start other"))
    clip = read_clip(rows[0].path, dense_ids(12, 3, 2, start))
    np.testing.assert_array_equal(items[0]["other"], multi_scale(clip, KeyedRNG(key, "crop other")))
    assert any((item["other"] != item["video"]).any() for item in items)


def test_a_batch_is_ordered_by_video_then_repeat(rows):
    clips = ClipDataset(rows, CLIP, repeats=2)
    samples = [clips[index, 0] for index in (4, 1)]
    first = samples[0][0]["video"]
    batch = collate(samples)
    assert batch["video"].shape == (4, 3, 3, 16, 16)
    assert batch["video"].dtype == torch.uint8
    assert batch["video"].permute(0, 2, 3, 4, 1).is_contiguous(), "channels last, as decoded"
    assert batch["index"].tolist() == batch["label"].tolist() == [4, 4, 1, 1]
    assert batch["key"].dtype == torch.int64
    assert batch["key"].tolist() == [*clips.keys(4, 0), *clips.keys(1, 0)]
    np.testing.assert_array_equal(batch["video"][0].permute(1, 2, 3, 0).numpy(), first)
    assert "bad" not in batch


def test_per_clip_arrays_are_computed_from_the_cropped_clip_and_its_key(rows):
    def scores(clip, key):
        assert clip.shape == (3, 16, 16, 3)
        assert clip.dtype == np.uint8
        return np.array([clip.mean(), key % 7], np.float32)

    samples = [ClipDataset(rows, CLIP, request=ClipRequest(per_clip={"scores": scores}), repeats=2)[0, 0]]
    batch = collate(samples)
    assert batch["scores"].shape == (2, 2)
    assert batch["scores"].dtype == torch.float32
    assert batch["scores"][:, 1].tolist() == [key % 7 for key in batch["key"].tolist()]
    assert batch["scores"][:, 0].tolist() == pytest.approx(batch["video"].float().mean((1, 2, 3, 4)).tolist())


def test_segments_are_read_inside_their_seconds(rows):
    whole = rows[0]
    segment = ClipRecord(whole.id + "#0.2-0.4", whole.path, 0, "train", 0.2, 0.4)  # frames 5 to 9 at 25 a second
    (item,) = ClipDataset([segment], ClipSpec(2, 2, 16), train=False)[0, 0]
    np.testing.assert_array_equal(item["video"], center_crop(read_clip(whole.path, [5, 7], 16), 16))
    (item,) = ClipDataset([ClipRecord("x", whole.path, 0, "train", 9.0, None)], ClipSpec(2, 2, 16))[0, 0]
    assert "segment x" in item["bad"][0]["reason"]


def test_larger_videos_are_read_smaller_and_smaller_ones_as_they_are(rows):
    reader = RecordingReader()
    for short_side in (None, 24, 32, 64):
        ClipDataset(rows, CLIP, Augmentation(short_side=short_side), reader=reader)[0, 0]
    assert [short_side for _, _, short_side in reader.calls] == [None, 24, None, None]  # the videos are 40 x 32


KINDS = {"empty": b"", "text": b"not a video at all\n" * 50, "noise": bytes(np.random.default_rng(1).bytes(4000))}


@pytest.mark.parametrize("kind", [*KINDS, "missing", "truncated"])
def test_an_unreadable_video_is_replaced_by_the_same_other_one_and_listed(rows, tmp_path, kind):
    path = tmp_path / "bad.mp4"
    if kind in KINDS:
        broken(path, KINDS[kind])
    elif kind == "truncated":
        content = rows[0].path.read_bytes()
        broken(path, content[: len(content) // 2])
    mixed = [*rows[:5], ClipRecord("bad.mp4", path, 9)]
    clips = ClipDataset(mixed, ClipSpec(12, 1, 16), repeats=2)
    items, again = clips[5, 3], clips[5, 3]
    assert [item["key"] for item in items] == clips.keys(5, 3)
    assert items[0]["index"] < 5
    np.testing.assert_array_equal(items[1]["video"], again[1]["video"])
    (entry,) = items[0]["bad"]
    assert (entry["path"], entry["epoch"]) == (str(path), 3)
    assert entry["replacement"] == str(mixed[items[0]["index"]].path)
    assert "bad.mp4" in entry["reason"]
    batch = collate([clips[0, 3], items])
    assert [entry["path"] for entry in batch["bad"]] == [str(path)]
    assert batch["index"].tolist() == [0, 0, items[0]["index"], items[0]["index"]]


def test_replacements_differ_from_epoch_to_epoch(rows, tmp_path):
    clips = ClipDataset([*rows, ClipRecord("bad.mp4", broken(tmp_path / "bad.mp4"))], CLIP)
    assert len({clips[len(rows), epoch][0]["index"] for epoch in range(8)}) > 2


def test_gives_up_after_ten_replacements(tmp_path):
    clips = ClipDataset([ClipRecord(f"{n}", broken(tmp_path / f"{n}.mp4")) for n in range(3)], CLIP)
    (item,) = clips[0, 0]
    assert list(item) == ["bad"]
    assert len(item["bad"]) == 11
    assert list(collate([[item]])) == ["bad"]
