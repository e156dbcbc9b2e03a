"""Features are computed once, and again whenever weights, data or preprocessing change."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vmae_zoo.datasets.layouts import ClipRecord, open_catalog
from vmae_zoo.evaluation import Features, compute_features
from vmae_zoo.evaluation.feature_store import FeatureStore
from vmae_zoo.evaluation.features import Views
from vmae_zoo.masking import TokenGrid
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.preprocessing import Preprocessing
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.video.decode import read_clip

SETTINGS = Preprocessing(frames=4, stride_frames=2, size=32)


@pytest.fixture(scope="module")
def videos(tmp_path_factory, encode):
    root = tmp_path_factory.mktemp("videos")
    for number in range(5):
        encode(root / f"{'ab'[number % 2]}" / f"{number}.mp4", frames=12 + number, size=(32, 48))
    (root / "b" / "broken.mp4").write_text("no video")
    return open_catalog(root).records


class Counting(VideoEncoder):
    """A user's own encoder: only what the base class asks for."""

    preprocessing = SETTINGS

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.calls = []  # a number would count as a setting of the module

    def forward(self, video):
        self.calls += [1] * len(video)
        return self.scale * video.mean((3, 4)).transpose(1, 2)


def test_the_second_run_skips_the_encoder(videos, tmp_path):
    encoder = Counting()
    first = compute_features(encoder, videos, cache=tmp_path)
    assert (len(encoder.calls), first.computed, len(first.records)) == (5, 5, 5)
    assert [entry["path"].endswith("broken.mp4") for entry in first.unreadable] == [True]
    again = compute_features(encoder, videos[::-1], cache=tmp_path)
    assert (len(encoder.calls), again.computed) == (5, 0)
    assert [row.id for row in again.records] == [row.id for row in first.records[::-1]]
    assert torch.equal(again.tensor(), first.tensor().flip(0))
    assert all(isinstance(value, np.memmap) for value in again.values)


def test_features_are_the_encoders_of_the_middle_clip(videos, tmp_path):
    features = compute_features(Counting(), videos, cache=tmp_path)
    for row, value in zip(features.records, features.values, strict=True):
        frames = int(row.path.stem) + 12
        strided = np.arange(0, frames, 2)
        ids = strided[(len(strided) - 4) // 2 :][:4]
        clip = torch.from_numpy(read_clip(row.path, ids, 32)[:, :, 8:40]).float() / 255
        mean = (clip.mean((0, 1, 2)) - torch.tensor(SETTINGS.mean)) / torch.tensor(SETTINGS.std)
        torch.testing.assert_close(torch.from_numpy(value[0].copy()), mean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changed", ["weights", "preprocessing", "views", "pool", "structure", "data"])
def test_the_cache_misses_what_changed(changed, videos, tmp_path):
    torch.manual_seed(0)
    grid = TokenGrid(2, 2, 2, cube=(2, 16, 16))
    encoder = Encoder(grid, 16, 1, 2, preprocessing=SETTINGS)
    rows = list(videos[:2])
    before = compute_features(encoder, rows, cache=tmp_path)
    assert compute_features(encoder, rows, cache=tmp_path).computed == 0
    views, pool = Views(), "mean"
    if changed == "weights":
        with torch.no_grad():
            encoder.blocks[0].mlp.fc1.bias[0] += 1e-3
    elif changed == "preprocessing":
        encoder.preprocessing = replace(SETTINGS, mean=(0.5, 0.5, 0.5))
    elif changed == "views":
        views = Views(clips=2)
    elif changed == "pool":
        pool = "tokens"
    elif changed == "structure":
        encoder.blocks[0].attn.heads = 4
    else:
        copy, (short, _, long) = tmp_path / "copy.mp4", videos[:3]
        copy.write_bytes(short.path.read_bytes())
        rows = [ClipRecord("copy.mp4", copy, 0)]
        assert compute_features(encoder, rows, cache=tmp_path).computed == 1
        copy.write_bytes(long.path.read_bytes())
    after = compute_features(encoder, rows, views, pool=pool, cache=tmp_path)
    assert after.computed == len(rows)
    assert not np.array_equal(after.values[0], before.values[0])


def test_a_computation_that_was_cut_off_goes_on(videos, tmp_path):
    encoder, whole = Counting(), compute_features(Counting(), videos, cache=tmp_path / "whole")
    forward = encoder.forward

    def cut_off(video):
        if len(encoder.calls) >= 3:
            raise KeyboardInterrupt
        return forward(video)

    encoder.forward = cut_off
    with pytest.raises(KeyboardInterrupt):
        compute_features(encoder, videos, batch_size=1, cache=tmp_path / "part")
    encoder.forward = forward
    rest = compute_features(encoder, videos, batch_size=1, cache=tmp_path / "part")
    assert rest.computed == 2
    assert torch.equal(rest.tensor(), whole.tensor())


def test_workers_and_batches_change_nothing(videos, tmp_path):
    one = compute_features(Counting(), videos, Views(2, 3), batch_size=1, cache=tmp_path / "one")
    many = compute_features(Counting(), videos, Views(2, 3), batch_size=12, workers=1, cache=tmp_path / "many")
    assert one.tensor().shape == (5, 6, 3)
    torch.testing.assert_close(one.tensor(), many.tensor())


def test_augmented_views_are_random_but_repeatable(videos, tmp_path):
    views = Views(augmented=3)
    one = compute_features(Counting(), videos, views, cache=tmp_path / "one")
    two = compute_features(Counting(), videos, views, cache=tmp_path / "two")
    assert torch.equal(one.tensor(), two.tensor())
    assert len({tuple(value) for value in one.tensor()[0].tolist()}) == 3


def test_class_tokens_and_all_tokens(videos, tmp_path):
    grid = TokenGrid(2, 2, 2, cube=(2, 16, 16))
    encoder = Encoder(grid, 16, 1, 2, preprocessing=SETTINGS, cls_token=True)
    assert compute_features(encoder, videos[:1], pool="cls", cache=tmp_path).tensor().shape == (1, 1, 16)
    tokens = compute_features(encoder, videos[:1], pool="tokens", cache=tmp_path).values[0]
    assert (tokens.shape, tokens.dtype) == ((1, 8, 16), np.float16)
    plain = Encoder(grid, 16, 1, 2, preprocessing=SETTINGS)
    with pytest.raises(ValueError, match="no class token"):
        compute_features(plain, videos[:1], pool="cls", cache=tmp_path)
    with pytest.raises(ValueError, match="pool = 'max' is not known"):
        compute_features(plain, videos[:1], pool="max", cache=tmp_path)


def test_weights_that_are_not_numbers_are_reported(videos, tmp_path):
    with pytest.raises(ValueError, match="not finite"):
        compute_features(Counting(float("nan")), videos, cache=tmp_path)
    with pytest.raises(ValueError, match="can be read"):
        Features([], [], [], 0).tensor()


def test_features_that_exceed_the_disk_are_refused_before_they_are_computed(tmp_path):
    store = FeatureStore(tmp_path, {"encoder": "a"})
    with pytest.raises(ValueError, match=r"the features of 1,000,000,000 videos take .* GB, and .* GB free: .*--cache"):
        store.writer(10**9, (16, 1568, 1408), np.dtype(np.float16))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_disk_that_fills_up_is_one_sentence_and_what_is_written_is_kept(tmp_path, encode):
    import resource

    records = [ClipRecord(name, encode(tmp_path / name, frames=3)) for name in ("a.mp4", "b.mp4")]
    store = FeatureStore(tmp_path / "cache", {"encoder": "a"})
    writer = store.writer(2, (1, 1000), np.dtype(np.float32))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, limits[1]))  # the second video does not fit
    try:
        writer.add(records[:1], np.ones((1, 1, 1000), np.float32))
        with pytest.raises(ValueError, match=r"after 1 videos, which are kept: free some space"):
            writer.add(records[1:], np.ones((1, 1, 1000), np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    again = FeatureStore(tmp_path / "cache", {"encoder": "a"})
    assert [record in again for record in records] == [True, False]
    assert (again.get(records[0]) == 1).all()


def test_a_file_that_is_replaced_while_its_features_are_computed_is_computed_again(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"one")
    record = ClipRecord("a.mp4", str(video))
    store = FeatureStore(tmp_path / "cache", {"encoder": "a"})
    assert record not in store
    video.write_bytes(b"another")  # the features below are those of the first content
    store.writer(1, (1, 2), np.dtype(np.float32)).add([record], np.ones((1, 1, 2), np.float32))
    assert record not in FeatureStore(tmp_path / "cache", {"encoder": "a"})
