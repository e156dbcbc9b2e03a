"""RandAugment on clips equals timm's operations frame by frame."""

import numpy as np
import pytest
import timm.data.auto_augment as timm_augment
import torch
from PIL import Image
from torchvision.transforms.v2.functional import gaussian_blur

from vmae_zoo.data.augment import OPERATIONS, rand_augment
from vmae_zoo.randomness import KeyedRNG

MOVING = ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel")


def natural_clip():
    """Two frames without sharp edges, of odd size."""
    noise = torch.randn(2, 3, 61, 47, generator=torch.Generator().manual_seed(0))
    smooth = gaussian_blur(noise, [9, 9], [2.0, 2.0]) * 400 + torch.tensor([90.0, 120.0, 150.0])[:, None, None]
    return smooth.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def by_timm(clip, name, level, sign, monkeypatch):
    monkeypatch.setattr(timm_augment, "_randomly_negate", lambda value: sign * value)
    level_to_arg, operation = timm_augment.LEVEL_TO_ARG[name], timm_augment.NAME_TO_OP[name]
    arguments = level_to_arg(level, {}) if level_to_arg else ()
    options = {"resample": Image.Resampling.BICUBIC, "fillcolor": (128, 128, 128)} if name in MOVING else {}
    return np.stack([np.asarray(operation(Image.fromarray(frame), *arguments, **options)) for frame in clip])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("level", [0.0, 6.4, 9.9])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_gives_timms_values(name, level, sign, monkeypatch):
    clip = natural_clip()
    ours, theirs = OPERATIONS[name](clip, level, sign), by_timm(clip, name, level, sign, monkeypatch)
    difference = np.abs(ours.astype(int) - theirs)
    if name in MOVING:  # OpenCV's bicubic is not Pillow's, and it blends the frame's edge with the gray outside
        assert np.median(difference) <= 1
        assert (difference <= 4).mean() > 0.95
    else:
        assert difference.max() <= (1 if name == "SharpnessIncreasing" else 0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_odd_clips_go_through(name):
    flat, small = np.full((1, 8, 8, 3), 77, np.uint8), np.zeros((3, 2, 5, 3), np.uint8)
    for clip in (flat, small, natural_clip()[:, :, ::-1]):
        before = clip.copy()
        assert OPERATIONS[name](clip, 7.0, 1).shape == clip.shape
        assert np.array_equal(clip, before)


def test_all_frames_change_alike_and_the_key_decides():
    still = np.repeat(natural_clip()[:1], 3, axis=0)
    seen = set()
    for key in range(40):
        out = rand_augment(still, KeyedRNG(key, "augment"))
        assert out.dtype == np.uint8
        assert np.array_equal(out[0], out[2])
        assert np.array_equal(out, rand_augment(still, KeyedRNG(key, "augment")))
        seen.add(out.tobytes())
    assert len(seen) > 30


def test_a_sixteenth_of_the_clips_is_unchanged():
    clip = natural_clip()[:1, :8, :8]
    same = sum(rand_augment(clip, KeyedRNG(key, "augment")) is clip for key in range(800))
    assert same == pytest.approx(800 / 2**4, abs=3 * (800 / 16) ** 0.5)
