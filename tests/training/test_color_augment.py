"""ColorJitterConfig change as torchvision's ops do, alike in all frames of a clip, and follow the key."""

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
    blur,
    color_jitter,
    grey,
)

KEYS = torch.tensor([sample_key(0, 0, n) for n in range(256)])
UNCHANGED = ColorJitterConfig(jitter=0, grey=0, blur=0, solarise=0)


@pytest.fixture
def clip():
    return torch.rand(2, 3, 2, 24, 20, generator=torch.Generator().manual_seed(0)) * 255


def images(clip):
    """Frames as torchvision takes them: (T, C, H, W) in [0, 1]."""
    return clip.transpose(0, 1) / 255


@pytest.mark.parametrize("turn", [-0.1, 0.03, 0.1, 0.5])
def test_hue_turns_as_torchvisions(clip, turn):
    turned = adjust_hue(clip, torch.tensor([turn, 0.0]))
    torch.testing.assert_close(images(turned[0]), reference.adjust_hue(images(clip[0]), turn), atol=1e-4, rtol=0)
    torch.testing.assert_close(turned[1], clip[1], atol=1e-3, rtol=0)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
def test_brightness_saturation_and_contrast_are_torchvisions(clip, factor):
    share = torch.tensor([factor, 1.0])
    black = torch.zeros_like(clip[:, :, :1, :1, :1])
    expected = reference.adjust_brightness(images(clip[0]), factor)
    torch.testing.assert_close(images(blend(clip, black, share)[0]), expected, atol=1e-5, rtol=0)
    expected = reference.adjust_saturation(images(clip[0]), factor)
    torch.testing.assert_close(images(blend(clip, grey(clip), share)[0]), expected, atol=1e-5, rtol=0)
    one_frame = clip[:, :, :1]
    mean = grey(one_frame).mean(dim=(1, 2, 3, 4), keepdim=True)
    expected = reference.adjust_contrast(images(one_frame[0]), factor)
    torch.testing.assert_close(images(blend(one_frame, mean, share)[0]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur_is_torchvisions_gaussian(clip, sigma):
    blurred = blur(clip, torch.tensor([sigma, 0.0]))
    expected = reference.gaussian_blur(images(clip[0]), [13, 13], [sigma, sigma])
    torch.testing.assert_close(images(blurred[0]), expected, atol=1e-5, rtol=0)
    assert torch.equal(blurred[1], clip[1])


def test_solarised_clips_have_no_bright_value():
    clip = torch.randint(0, 256, (4, 3, 2, 8, 8), dtype=torch.uint8)
    clip[clip == 128] = 129  # the border itself may round to either side
    solarised = color_jitter(clip, KEYS[:4], ColorJitterConfig(jitter=0, grey=0, blur=0, solarise=1), "video")
    expected = torch.where(clip >= 128, 255 - clip.float(), clip.float())
    torch.testing.assert_close(solarised, expected, atol=1e-3, rtol=0)


def test_nothing_drawn_changes_nothing():
    clip = torch.randint(0, 256, (4, 3, 2, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(color_jitter(clip, KEYS[:4], UNCHANGED, "video"), clip.float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("colours", [FIRST_VIEW, SECOND_VIEW])
def test_all_frames_of_a_clip_change_alike(colours):
    image = torch.randint(0, 256, (16, 3, 1, 16, 16), dtype=torch.uint8)
    changed = color_jitter(image.expand(-1, -1, 5, -1, -1), KEYS[:16], colours, "video")
    torch.testing.assert_close(changed, changed[:, :, :1].expand_as(changed))
    assert (changed >= 0).all()
    assert (changed <= 255.01).all()


def test_draws_follow_key_and_purpose_alone():
    clip = torch.randint(0, 256, (8, 3, 2, 16, 16), dtype=torch.uint8)
    together = color_jitter(clip, KEYS[:8], FIRST_VIEW, "video")
    torch.testing.assert_close(together[3:4], color_jitter(clip[3:4], KEYS[3:4], FIRST_VIEW, "video"))
    assert not torch.allclose(together, color_jitter(clip, KEYS[:8], FIRST_VIEW, "other"))


@pytest.mark.parametrize(("colours", "blurred", "inverted"), [(FIRST_VIEW, 1.0, 0.0), (SECOND_VIEW, 0.1, 0.2)])
def test_chances_are_the_published_ones(colours, blurred, inverted):
    clip = torch.zeros(256, 3, 1, 16, 16, dtype=torch.uint8)
    clip[:, :, :, 4:12, 4:12] = torch.tensor([200, 30, 30], dtype=torch.uint8)[:, None, None, None]
    changed = color_jitter(clip, KEYS, ColorJitterConfig(**{**vars(colours), "jitter": 0}), "video")
    middle = changed[:, :, 0, 7, 7]  # of a red square, whose edge shows a blur
    greyed = (middle.amax(1) - middle.amin(1)) < 1
    assert greyed.float().mean().item() == pytest.approx(0.2, abs=0.06)
    assert (middle[:, 0][~greyed] < 100).float().mean().item() == pytest.approx(inverted, abs=0.06)
    edges = changed[:, :, 0, 3, 7].amax(1) > 0.5  # sigmas below 0.3 do not reach the next pixel
    assert edges.float().mean().item() == pytest.approx(0.9 * blurred, abs=0.08)
