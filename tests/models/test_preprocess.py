"""Clips come from paths and frames as every evaluation reads them; an encoder refuses what would be silently wrong."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from vmae_zoo import load_pretrained
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.evaluation import compute_features
from vmae_zoo.methods import Classifier, VideoMAE
from vmae_zoo.video.decode import read_clip

TINY = {"size": "tiny", "width": 24, "depth": 1, "num_heads": 2, "frames": 4, "image_size": 32, "stride_frames": 2}


@pytest.fixture(scope="module")
def video(tmp_path_factory, encode):
    return encode(tmp_path_factory.mktemp("video") / "a.mp4", frames=30, size=(32, 48))


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return VideoMAE(**TINY).encoder.eval()


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return Classifier(classes=list("abcdefg"), **TINY).eval()


def test_a_path_gives_the_feature_of_every_evaluation(encoder, video, tmp_path):
    features = compute_features(encoder, [ClipRecord("a.mp4", video)], cache=tmp_path).tensor()[0]
    with torch.no_grad():
        assert torch.equal(encoder.pool(encoder(encoder.preprocess(video))), features)


def test_frames_give_the_clip_of_the_path(encoder, video):
    ids = [10, 12, 14, 16]  # every second of 30 frames, and of these 15 the middle four
    frames = read_clip(video, ids)
    clip = encoder.preprocess(str(video))
    assert clip.shape == (1, 3, 4, 32, 32)
    assert torch.equal(encoder.preprocess(frames), clip)  # its shorter side needs no resizing
    assert torch.equal(encoder.preprocess(torch.from_numpy(frames)), clip)
    assert torch.equal(encoder.preprocess([frames, video]), torch.cat([clip, clip]))
    assert torch.equal(encoder.preprocess(np.stack([frames, frames])), torch.cat([clip, clip]))


def test_larger_frames_are_resized_as_a_file_is(encoder, tmp_path, encode):
    large = encode(tmp_path / "large.mov", "png", frames=30, size=(96, 128), pix_fmt="rgb24")  # no YUV between
    by_path, by_frames = encoder.preprocess(large), encoder.preprocess(read_clip(large, [10, 12, 14, 16]))
    assert (by_path - by_frames).abs().max() < 1.5 / 255 / 0.224


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_clips_follow_the_dtype_of_the_weights(encoder, video, dtype):
    half = deepcopy(encoder).to(dtype)
    clip = half.preprocess(video)
    assert torch.equal(clip, encoder.preprocess(video).to(dtype))
    assert half(clip).dtype == dtype


def test_methods_and_classifiers_preprocess_too(video, classifier):
    method = VideoMAE(**TINY)
    assert torch.equal(method.preprocess(video), method.encoder.preprocess(video))
    assert classifier.preprocessing == classifier.encoder.preprocessing
    assert torch.equal(classifier.preprocess(video), method.preprocess(video))


def test_windows_cover_the_video(encoder, video, classifier):
    found = list(encoder.windows(video, hop=8))
    assert [window.start for window in found] == [0, 8, 16, 23]  # the last ends with the video: 30 - 7
    for start, clip in found:
        assert torch.equal(clip, encoder.preprocess(read_clip(video, start + np.arange(0, 8, 2))))
    assert len(list(classifier.windows(video))) == 4
    with pytest.raises(ValueError, match="no/such"):
        encoder.windows("no/such.mp4")


def test_top_lists_classes_by_probability(classifier, video):
    with torch.no_grad():
        expected = classifier(classifier.preprocess(video))[0].softmax(0)
    top = classifier.top(video, k=3)
    assert [name for name, _ in top] == ["abcdefg"[label] for label in expected.topk(3).indices]
    assert [value for _, value in top] == pytest.approx(expected.topk(3).values.tolist())
    assert sum(value for _, value in classifier.top(video, k=99)) == pytest.approx(1)
    assert classifier.top([video, video], k=1) == [top[:1], top[:1]]


def test_top_computes_as_in_evaluation_and_leaves_the_mode(classifier, video):
    training = deepcopy(classifier).train()
    training.head_dropout.p = 0.9
    assert training.top(video) == classifier.top(video)
    assert training.training
    assert training.head_dropout.training


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((4, 32, 32, 3), np.float32), "uint8"),
        (np.full((4, 32, 32, 3), 200.0), "uint8"),
        (np.zeros((4, 3, 32, 32), np.uint8), "channels"),
        (np.zeros((32, 32, 3), np.uint8), "stack"),
        (np.zeros((9, 32, 32, 3), np.uint8), "choose 4"),
        ([], "empty"),
        (None, "path"),
        (b"clip.mp4", "frames is a bytes: give a path"),
    ],
)
def test_other_frames_are_refused(encoder, frames, words):
    with pytest.raises(ValueError, match=words):
        encoder.preprocess(frames)


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (torch.zeros(1, 3, 4, 32, 32, dtype=torch.uint8), "preprocess"),
        (torch.zeros(1, 3, 4, 32, 32, dtype=torch.float16), "preprocess"),
        (torch.zeros(1, 3, 4, 32, 32, dtype=torch.float64), "preprocess"),
        (torch.zeros(1, 4, 32, 32, 3), "preprocess"),
        (torch.zeros(1, 4, 3, 32, 32), "transpose"),
        (torch.zeros(3, 4, 32, 32), "first axis"),
        (torch.zeros(1, 3, 8, 32, 32), "clip="),
        (torch.full((1, 3, 4, 32, 32), 255.0), "preprocess"),
    ],
)
def test_an_encoder_refuses_other_input(encoder, video, words):
    with pytest.raises(ValueError, match=words):
        encoder(video)


@pytest.mark.slow
def test_values_are_checked_in_evaluation_alone(encoder):
    bright = torch.full((1, 3, 4, 32, 32), 255.0)
    assert deepcopy(encoder).train()(bright).shape == (1, 8, 24)
    assert torch.compile(encoder, backend="eager", fullgraph=True)(bright).shape == (1, 8, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(torch.zeros_like(bright)).shape == (1, 8, 24)


def test_a_bundled_encoder_takes_a_video_in_two_lines(video):
    encoder = load_pretrained("videomae_tiny.demo-16")
    feature = encoder.pool(encoder(encoder.preprocess(video)))
    assert feature.shape == (1, 64)
    assert feature.isfinite().all()
