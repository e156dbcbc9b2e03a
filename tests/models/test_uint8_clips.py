"""Clips that are normalized where they are read give the values of clips that are normalized first."""

import pytest
import torch
from tests.methods.small import CASES, SMALL

from vmae_zoo.methods.registry import resolve_method
from vmae_zoo.models.preprocessing import Normalize, Preprocessing
from vmae_zoo.models.uint8_clips import UInt8Clips

PIXELS = torch.randint(0, 256, (2, 4, 8, 8, 3), dtype=torch.uint8).permute(0, 4, 1, 2, 3)
NORMALIZER = Normalize(Preprocessing(mean=(0.1, 0.4, 0.7), std=(0.2, 0.3, 0.4)))


def test_an_operation_gets_normalized_values():
    clips, expected = UInt8Clips(PIXELS, NORMALIZER), NORMALIZER(PIXELS)
    assert clips.dtype == torch.float32
    assert torch.equal(clips * 1, expected)
    assert torch.equal(torch.stack([clips, expected])[0], expected)
    assert torch.equal(clips.bfloat16(), expected.bfloat16())
    assert torch.equal(clips[1, :, 2:], expected[1, :, 2:])
    assert type(clips.flatten(2)) is torch.Tensor


def test_frames_are_selected_without_normalization():
    frames = UInt8Clips(PIXELS, NORMALIZER).index_select(2, torch.tensor([3, 0]))
    assert isinstance(frames, UInt8Clips)
    assert torch.equal(frames.pixels, PIXELS[:, :, [3, 0]])


@pytest.mark.parametrize("name", [name for name in CASES if getattr(resolve_method(name), "targets", None)])
@pytest.mark.parametrize("normalized", [True, False])
def test_a_method_predicts_and_learns_the_same(name, normalized):
    method = resolve_method(name)(**SMALL, **{**CASES[name], "normalise_target": normalized})
    pixels = torch.randint(0, 256, (2, *method.grid.pixels, 3), dtype=torch.uint8).permute(0, 4, 1, 2, 3)
    batch = {"video": pixels, "key": torch.arange(2), "scores": torch.rand(2, method.grid.tokens)}
    clips, mask = method.prepare_inputs(batch)
    assert isinstance(clips, UInt8Clips)
    found, expected = method(clips, mask), method(method.encoder.normalizer(pixels), mask)
    assert torch.equal(found.prediction, expected.prediction)
    torch.testing.assert_close(found.target, expected.target, rtol=0, atol=2e-6)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-6, atol=0)
