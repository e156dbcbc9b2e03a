"""Crops, resizes and flips equal those of the official pipelines."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from vmae_zoo.data import transforms as t
from vmae_zoo.randomness import KeyedRNG

SCALES = (1, 0.875, 0.75, 0.66)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A picture with edges, gradients and noise: uint8 (120, 160, 3)."""
    rows, columns = np.mgrid[:120, :160]
    waves = 127 + 90 * np.sin(rows[..., None] / [3, 9, 27] + columns[..., None] / [11, 5, 2])
    noise = np.random.default_rng(0).integers(-30, 30, waves.shape)
    return np.clip(waves + noise, 0, 255).astype(np.uint8)


def coordinates(frames: int, height: int, width: int) -> np.ndarray:
    """A clip whose pixels say where they are: channels (frame, row, column)."""
    return np.stack(np.meshgrid(range(frames), range(height), range(width), indexing="ij"), axis=-1).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (200, 200), (50, 150), (120, 80), (200, 60)])
def test_resizing_equals_pillow_within_one_level(picture, height, width):
    expected = np.asarray(Image.fromarray(picture).resize((width, height), Image.BILINEAR))
    resized = t.resize(picture[None], height, width)[0]
    assert abs(resized.astype(int) - expected).max() <= 1
    assert resized.flags.c_contiguous


def test_mirrored_views_are_resized_too(picture):
    mirrored = t.resize(picture[None, :, ::-1], 60, 80)
    assert abs(mirrored[:, :, ::-1].astype(int) - t.resize(picture[None], 60, 80)).max() <= 1


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(256, 340, [256, 224, 192, 168]), (240, 426, [240, 210, 180, 158])]
)
def test_multi_scale_sides_are_the_golden_ones(height, width, expected):
    assert t.multi_scale_sizes(height, width, 224) == expected
    assert t.multi_scale_sizes(width, height, 224) == expected


def test_sides_near_the_size_are_set_to_it():
    assert t.multi_scale_sizes(258, 340, 224) == [258, 224, 193, 170]  # 258 * .875 = 225


def test_multi_scale_crops_are_ten_pairs_at_thirteen_places():
    height, width = 128, 170
    found = Counter(t.multi_scale_box((height, width), 112, KeyedRNG(key, "crop"), SCALES) for key in range(6000))
    sides = t.multi_scale_sizes(height, width, 112)
    pairs = {(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1}
    assert len(pairs) == 10
    assert {box[2:] for box in found} == pairs
    expected = set()
    for high, wide in pairs:
        down, right = (height - high) // 4, (width - wide) // 4
        corners = {(a * down, b * right) for a in (0, 4) for b in (0, 4)}
        middles = {(0, 2 * right), (4 * down, 2 * right), (2 * down, 0), (2 * down, 4 * right), (2 * down, 2 * right)}
        quarters = {(a * down, b * right) for a in (1, 3) for b in (1, 3)}
        places = corners | middles | quarters
        assert len(places) == (13 if high < height else 5)
        expected |= {(*place, high, wide) for place in places}
    assert set(found) == expected
    counts = Counter(box[2:] for box in found.elements())
    assert min(counts.values()) > 480  # 600 each if uniform


def test_all_frames_get_the_same_crop_and_flip(picture):
    clip = np.stack([picture] * 3)
    box = t.multi_scale_box((120, 160), 64, KeyedRNG(5, "crop"), SCALES)
    cropped = t.crop_and_resize(clip, box, 64)
    assert cropped.shape == (3, 64, 64, 3)
    assert cropped.dtype == np.uint8
    np.testing.assert_array_equal(cropped[0], cropped[2])
    np.testing.assert_array_equal(t.crop_and_resize(clip, box, 64, flip=True), cropped[:, :, ::-1])
    assert t.multi_scale_box((120, 160), 64, KeyedRNG(5, "crop"), SCALES) == box


def test_random_resized_boxes_are_spread_like_torchvisions():
    scale, ratio = (0.3, 0.9), (0.75, 4 / 3)
    torch.manual_seed(0)
    image = torch.empty(3, 90, 160)
    theirs = np.array([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(2000)])
    ours = np.array([t.random_box((90, 160), KeyedRNG(key, "crop"), scale, ratio) for key in range(2000)])
    assert (ours[:, 0] + ours[:, 2] <= 90).all()
    assert (ours[:, 1] + ours[:, 3] <= 160).all()
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=2.5)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.1)


@pytest.mark.parametrize(
    ("rows", "columns", "box"),
    [(20, 200, (0, 86, 20, 27)), (200, 20, (86, 0, 27, 20)), (30, 30, (0, 0, 30, 30))],
)
def test_boxes_that_never_fit_end_in_the_largest_centred_one(rows, columns, box):
    assert t.random_box((rows, columns), KeyedRNG(0, "crop"), (2.0, 3.0), (0.75, 4 / 3)) == box


@pytest.mark.parametrize(("margin", "offset"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (7, 4)])
def test_the_center_is_rounded_half_to_even(margin, offset):
    cropped = t.center_crop(coordinates(2, 20, 20 + margin), 20)
    assert cropped[1, 0, 0].tolist() == [1, 0, offset]
    assert cropped.shape == (2, 20, 20, 3)


@pytest.mark.parametrize(("height", "width", "axis"), [(20, 33, 2), (33, 20, 1)])
def test_test_crops_spread_along_the_long_side(height, width, axis):
    clip = coordinates(1, height, width)
    starts = [t.crop_view(clip, 20, view)[0, 0, 0, axis].item() for view in range(3)]
    assert starts == [0, 6, 13]  # int(j * 13 / 2)
    assert t.crop_view(clip, 20, 0, views=1).shape == (1, 20, 20, 3)
    assert t.crop_view(clip, 20, 0, views=1)[0, 0, 0, axis] == 6


def test_half_of_the_clips_are_flipped():
    assert 160 < sum(t.random_flip(KeyedRNG(key, "flip")) for key in range(400)) < 240


def test_crops_larger_than_the_frame_are_refused():
    with pytest.raises(ValueError, match="20 x 30"):
        t.center_crop(coordinates(1, 20, 30), 24)
