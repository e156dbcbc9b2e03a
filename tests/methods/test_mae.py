"""MAE equals the official program's numbers and its own description."""

import pytest
import torch
from tests.methods.official import TINY, check_pretraining, mae_name, numbers, part

from vmae_zoo.masking import TokenSplit
from vmae_zoo.methods import MAE
from vmae_zoo.models.sincos import sincos_2d

SIZE = TINY | {"image_size": 64}


def golden():
    values = numbers("mae_pretrain")
    weights = part(values, "w.", mae_name)
    tables = [weights.pop(f"{home}.positions.pos_embed") for home in ("encoder", "decoder")]
    weights["encoder.patch_embed.proj.weight"] = weights["encoder.patch_embed.proj.weight"][:, :, None]
    method = MAE(**SIZE)
    method.load_state_dict(weights)
    return method, values, tables, TokenSplit.from_masks(values["in.mask"] == 1)


def test_prediction_loss_and_gradients_equal_the_official_numbers():
    method, values, _, split = golden()
    check_pretraining(method, values["in.image"][:, :, None], split, values, mae_name)


def test_position_tables_equal_the_official_ones_and_the_class_token_has_none():
    for table in golden()[2]:
        torch.testing.assert_close(table[0, 1:], sincos_2d(4, 4, table.shape[2]), atol=1e-6, rtol=0)
        assert table[0, 0].abs().max() == 0


def test_targets_are_patches_of_the_input_normalized_over_all_channels():
    method, values, _, split = golden()
    image = values["in.image"]
    target = method(image[:, :, None], split).target
    token = split.predicted[1, 3].item()
    top, left = 16 * (token // 4), 16 * (token % 4)
    patch = image[1, :, top : top + 16, left : left + 16].permute(1, 2, 0).flatten()
    expected = (patch - patch.mean()) / (patch.var(unbiased=True) + 1e-6).sqrt()
    torch.testing.assert_close(target[1, 3], expected, atol=1e-5, rtol=1e-5)


def test_the_input_can_be_the_target():
    method = MAE(**SIZE, normalise_target=False)
    image = torch.randn(1, 3, 1, 64, 64)
    split = method.sample_mask({"key": torch.tensor([3])})
    token = split.predicted[0, 0].item()
    top, left = 16 * (token // 4), 16 * (token % 4)
    expected = image[0, :, 0, top : top + 16, left : left + 16].permute(1, 2, 0).flatten()
    assert torch.equal(method(image, split).target[0, 0], expected)


def test_initialization_is_the_official_one():
    torch.manual_seed(0)
    method = MAE("tiny", image_size=64)
    proj = method.encoder.patch_embed.proj
    for weight in (proj.weight.flatten(1), method.encoder.blocks[0].attn.qkv.weight, method.encoder_to_decoder.weight):
        bound = (6 / sum(weight.shape)) ** 0.5
        assert 0.98 * bound < weight.abs().max() <= bound
    assert 0 < proj.bias.abs().max() <= 768**-0.5
    assert method.encoder.blocks[0].attn.qkv.bias.abs().max() == 0
    assert method.encoder.cls_token.std().item() == pytest.approx(0.02, rel=0.2)
    assert method.mask_token.std().item() == pytest.approx(0.02, rel=0.3)


@pytest.mark.parametrize(("size", "millions"), [("base", 111.7), ("large", 329.2), ("huge", 656.6)])
def test_parameter_counts_follow_from_the_published_sizes(size, millions):
    with torch.device("meta"):
        method = MAE(size)
    width, depth, patch = {"base": (768, 12, 16), "large": (1024, 24, 16), "huge": (1280, 32, 14)}[size]
    values = 3 * patch * patch
    blocks = sum(n * (12 * d * d + 13 * d) for n, d in ((depth, width), (8, 512)))
    ends = (values + 1) * width + 3 * width + (width + 1) * 512 + 3 * 512 + 513 * values
    assert sum(p.numel() for p in method.parameters()) == blocks + ends
    assert (blocks + ends) / 1e6 == pytest.approx(millions, abs=0.06)


def test_a_clip_of_several_frames_is_refused():
    method = MAE(**SIZE)
    with pytest.raises(ValueError, match=r"\(1, 3, 2, 64, 64\)"):
        method(torch.randn(1, 3, 2, 64, 64), method.sample_mask({"key": torch.tensor([3])}))
