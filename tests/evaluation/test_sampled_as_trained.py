"""An encoder is evaluated on frames chosen as those it was trained on, whatever a video's own rate."""

from dataclasses import replace
from math import floor

import lightning
import numpy as np
import pytest
import torch

from vmae_zoo.data import ClipDataModule, ClipRecord, reader
from vmae_zoo.evaluation import compute_features
from vmae_zoo.evaluation.extract import extract
from vmae_zoo.evaluation.features import RandomViews, Views
from vmae_zoo.methods import Classifier, VideoMAE
from vmae_zoo.models.preprocessing import Preprocessing
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.video.decode import probe, read_clip
from vmae_zoo.viz.clips import read_batch
from vmae_zoo.zoo import load_pretrained

TIMED = Preprocessing(frames=4, stride_frames=2, size=32, sampling="span", fps=20.0)  # 0.4 seconds
SMALL = {"frames": 4, "stride_frames": 2, "width": 24, "depth": 1, "num_heads": 2}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2, "mask_ratio": 0.5}
FRAMES = 40


class Averages(VideoEncoder):
    """One token: the mean color of every frame."""

    def __init__(self, preprocessing):
        super().__init__()
        self.preprocessing = preprocessing

    def forward(self, video):
        return video.mean((3, 4)).transpose(1, 2).flatten(1)[:, None]


@pytest.fixture(scope="module")
def videos(tmp_path_factory, encode):
    root = tmp_path_factory.mktemp("rates")
    for rate in (10, 25, 50):
        encode(root / f"{rate}.mp4", frames=FRAMES, size=(32, 32), rate=rate)
        assert probe(root / f"{rate}.mp4").fps == rate
    return {rate: ClipRecord(f"{rate}.mp4", root / f"{rate}.mp4", 0) for rate in (10, 25, 50)}


def spread(start, span, frames=4):
    """So many frames over a span, both of its ends among them."""
    return [floor(start + number * (span - 1) / (frames - 1)) for number in range(frames)]


def averages(row, ids):
    clip = read_clip(row.path, ids).astype(float).mean((1, 2)) / 255
    return ((clip - np.array(TIMED.mean)) / np.array(TIMED.std)).ravel()


@pytest.mark.parametrize("rate", [10, 25, 50])
def test_clips_by_time_last_as_long_at_every_rate(rate, videos, tmp_path):
    span = 0.4 * rate
    starts = [0, (FRAMES - span) // 2, 2 * ((FRAMES - span) // 2)]
    for views, wanted in ((Views(), [floor((FRAMES - span) / 2)]), (Views(clips=3), starts)):
        found = compute_features(Averages(TIMED), [videos[rate]], views, cache=tmp_path).values[0]
        expected = [averages(videos[rate], spread(start, span)) for start in wanted]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_another_rate_is_another_feature(videos, tmp_path):
    rows = [videos[50]]
    first = compute_features(Averages(TIMED), rows, cache=tmp_path)
    other = compute_features(Averages(replace(TIMED, fps=40.0)), rows, cache=tmp_path)
    assert other.computed == 1
    assert not np.allclose(first.values[0], other.values[0])


@pytest.mark.parametrize("sampling", ["span", "sparse", "uniform", "dense"])
def test_random_views_are_chosen_by_the_same_rule(sampling, videos, monkeypatch):
    asked, read = [], reader.read_clip
    monkeypatch.setattr(reader, "read_clip", lambda path, ids, *a, **b: asked.append(ids) or read(path, ids, *a, **b))
    dataset = RandomViews([videos[50]], replace(TIMED, sampling=sampling).clip, Views(augmented=30), epoch=0)
    assert len(dataset[0]) == len(asked) == 30
    ids = np.array(asked)
    assert len(np.unique(ids, axis=0)) > 5
    width = set((ids[:, -1] - ids[:, 0]).tolist())
    if sampling == "span":  # 20 frames
        assert width <= {19, 20}
    elif sampling == "dense":
        assert width == {6}
    else:  # one of each ten
        assert (ids // 10 == np.arange(4)).all()
        assert (ids % 10).max() <= (8 if sampling == "sparse" else 9)


@pytest.mark.parametrize("rate", [10, 50])
def test_windows_of_long_videos_are_counted_in_seconds(rate, videos, tmp_path):
    extract(Averages(TIMED), [videos[rate]], tmp_path, form="npz")
    found, span = np.load(tmp_path / f"{rate}.mp4.npz"), round(0.4 * rate)
    assert found["start"].tolist() == list(range(0, FRAMES, span))
    for start, feature in zip(found["start"], found["features"], strict=True):
        expected = averages(videos[rate], np.minimum(spread(start, span), FRAMES - 1))
        np.testing.assert_allclose(feature, expected, atol=1e-4)


def test_a_run_notes_what_its_data_was(videos, tmp_path):
    root = videos[10].path.parent
    method = VideoMAE("tiny", **SMALL, **DECODER, image_size=32)
    data = ClipDataModule(str(root), frames=4, stride_frames=2, size=32, batch_size=1, workers=0, sampling="span",
                          fps=[20, 40])  # fmt: skip
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(accelerator="cpu", max_steps=1, default_root_dir=tmp_path, **quiet)
    trainer.fit(method, data)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    seen = load_pretrained(tmp_path / "run.ckpt").preprocessing
    assert (seen.sampling, seen.fps, seen.frames, seen.stride_frames) == ("span", 20.0, 4, 2)
    video = read_batch(load_pretrained(tmp_path / "run.ckpt", task="pretrain"), [videos[50].path])["video"]
    expected = read_clip(videos[50].path, spread((FRAMES - 20) // 2, 20))
    assert np.array_equal(video[0].permute(1, 2, 3, 0).numpy(), expected)


def test_records_from_before_there_was_a_rate_still_load(tmp_path):
    model = Classifier(classes=["a", "b"], size="tiny", **SMALL, image_size=32, sampling="uniform")
    record = model.export_config()
    del record["preprocessing"]["fps"]
    torch.save({"state_dict": model.state_dict(), "vmae_zoo": record}, tmp_path / "old.ckpt")
    assert load_pretrained(tmp_path / "old.ckpt").preprocessing == replace(model.encoder.preprocessing, fps=30.0)
