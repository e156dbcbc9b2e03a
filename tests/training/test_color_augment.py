"""Colors change as by torchvision's operations, the same in all frames of a clip, as functions of the key."""

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from vmae_zoo.randomness import sample_key
from vmae_zoo.training.color_augment import (
    FIRST_VIEW,
    SECOND_VIEW,
    ColorJitterConfig,
    adjust_hue,
    blend,
    color_jitter,
    gaussian_blur,
    grayscale,
)

KEYS = torch.tensor([sample_key(0, 0, n) for n in range(256)])
UNCHANGED = ColorJitterConfig(jitter=0, gray=0, blur=0, solarize=0)


@pytest.fixture
def clip():
    return torch.rand(2, 3, 2, 24, 20, generator=torch.Generator().manual_seed(0)) * 255


def images(clip):
    """Frames as torchvision takes them: (T, C, H, W) in [0, 1]."""
    return clip.transpose(0, 1) / 255


@pytest.mark.parametrize("turn", [-0.1, 0.03, 0.1, 0.5])
def test_hue_equals_torchvision(clip, turn):
    turned = adjust_hue(clip, torch.tensor([turn, 0.0]))
    torch.testing.assert_close(images(turned[0]), reference.adjust_hue(images(clip[0]), turn), atol=1e-4, rtol=0)
    torch.testing.assert_close(turned[1], clip[1], atol=1e-3, rtol=0)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
def test_brightness_saturation_and_contrast_equal_torchvision(clip, factor):
    share = torch.tensor([factor, 1.0])
    black = torch.zeros_like(clip[:, :, :1, :1, :1])
    expected = reference.adjust_brightness(images(clip[0]), factor)
    torch.testing.assert_close(images(blend(clip, black, share)[0]), expected, atol=1e-5, rtol=0)
    expected = reference.adjust_saturation(images(clip[0]), factor)
    torch.testing.assert_close(images(blend(clip, grayscale(clip), share)[0]), expected, atol=1e-5, rtol=0)
    one_frame = clip[:, :, :1]
    mean = grayscale(one_frame).mean(dim=(1, 2, 3, 4), keepdim=True)
    expected = reference.adjust_contrast(images(one_frame[0]), factor)
    torch.testing.assert_close(images(blend(one_frame, mean, share)[0]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur_equals_torchvision(clip, sigma):
    blurred = gaussian_blur(clip, torch.tensor([sigma, 0.0]))
    expected = reference.gaussian_blur(images(clip[0]), [13, 13], [sigma, sigma])
    torch.testing.assert_close(images(blurred[0]), expected, atol=1e-5, rtol=0)
    assert torch.equal(blurred[1], clip[1])


def test_solarized_clips_have_no_bright_value():
    clip = torch.randint(0, 256, (4, 3, 2, 8, 8), dtype=torch.uint8)
    clip[clip == 128] = 129  # the threshold itself may round to either side
    solarized = color_jitter(clip, KEYS[:4], ColorJitterConfig(jitter=0, gray=0, blur=0, solarize=1), "video")
    expected = torch.where(clip >= 128, 255 - clip.float(), clip.float())
    torch.testing.assert_close(solarized, expected, atol=1e-3, rtol=0)


def test_probabilities_of_zero_change_nothing():
    clip = torch.randint(0, 256, (4, 3, 2, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(color_jitter(clip, KEYS[:4], UNCHANGED, "video"), clip.float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("config", [FIRST_VIEW, SECOND_VIEW])
def test_all_frames_of_a_clip_change_equally(config):
    image = torch.randint(0, 256, (16, 3, 1, 16, 16), dtype=torch.uint8)
    changed = color_jitter(image.expand(-1, -1, 5, -1, -1), KEYS[:16], config, "video")
    torch.testing.assert_close(changed, changed[:, :, :1].expand_as(changed))
    assert (changed >= 0).all()
    assert (changed <= 255.01).all()


def test_changes_are_functions_of_key_and_purpose():
    clip = torch.randint(0, 256, (8, 3, 2, 16, 16), dtype=torch.uint8)
    together = color_jitter(clip, KEYS[:8], FIRST_VIEW, "video")
    torch.testing.assert_close(together[3:4], color_jitter(clip[3:4], KEYS[3:4], FIRST_VIEW, "video"))
    assert not torch.allclose(together, color_jitter(clip, KEYS[:8], FIRST_VIEW, "other"))


@pytest.mark.parametrize(("config", "blurred", "inverted"), [(FIRST_VIEW, 1.0, 0.0), (SECOND_VIEW, 0.1, 0.2)])
def test_probabilities_are_the_published_ones(config, blurred, inverted):
    clip = torch.zeros(256, 3, 1, 16, 16, dtype=torch.uint8)
    clip[:, :, :, 4:12, 4:12] = torch.tensor([200, 30, 30], dtype=torch.uint8)[:, None, None, None]
    changed = color_jitter(clip, KEYS, ColorJitterConfig(**{**vars(config), "jitter": 0}), "video")
    middle = changed[:, :, 0, 7, 7]  # of a red square, whose edge reveals a blur
    gray = (middle.amax(1) - middle.amin(1)) < 1
    assert gray.float().mean().item() == pytest.approx(0.2, abs=0.06)
    assert (middle[:, 0][~gray] < 100).float().mean().item() == pytest.approx(inverted, abs=0.06)
    edges = changed[:, :, 0, 3, 7].amax(1) > 0.5  # sigmas below 0.3 do not reach the next pixel
    assert edges.float().mean().item() == pytest.approx(0.9 * blurred, abs=0.08)
