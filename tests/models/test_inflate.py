"""An inflated image encoder gives a still clip the tokens of its image."""

import pytest
import torch

from vmae_zoo.masking import TokenGrid
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.inflate import inflate

SIZES = {"width": 24, "depth": 2, "num_heads": 2, "bias": "qkv", "cls_token": True}


@pytest.fixture
def image_encoder():
    torch.manual_seed(0)
    return Encoder(TokenGrid(1, 4, 3, (1, 8, 8)), position="sincos_2d", **SIZES)


@pytest.mark.parametrize("position", ["sincos_2d", "separable"])
@pytest.mark.parametrize("cube_frames", [1, 2, 4])
def test_a_still_clip_of_one_slice_gives_the_tokens_of_its_image(image_encoder, position, cube_frames):
    grid = TokenGrid(1, 4, 3, (cube_frames, 8, 8))
    encoder = Encoder(grid, position=position, **SIZES)
    encoder.load_state_dict(inflate(image_encoder.state_dict(), grid, position))
    image = torch.randn(2, 3, 1, 32, 24)
    expected, cls = image_encoder(image, return_cls=True)
    tokens, clip_cls = encoder(image.expand(-1, -1, cube_frames, -1, -1), return_cls=True)
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(clip_cls, cls, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("position", ["sincos_2d", "separable"])
def test_slices_of_a_still_clip_start_alike(image_encoder, position):
    grid = TokenGrid(3, 4, 3, (2, 8, 8))
    encoder = Encoder(grid, position=position, **SIZES)
    encoder.load_state_dict(inflate(image_encoder.state_dict(), grid, position))
    tokens = encoder(torch.randn(1, 3, 1, 32, 24).expand(-1, -1, 6, -1, -1)).view(3, 12, 24)
    torch.testing.assert_close(tokens, tokens[:1].expand_as(tokens), atol=1e-5, rtol=1e-5)


def test_another_patch_size_is_refused(image_encoder):
    with pytest.raises(ValueError, match=r"patches of \(8, 8\) pixels, the clips \(16, 16\)"):
        inflate(image_encoder.state_dict(), TokenGrid(8, 14, 14))
