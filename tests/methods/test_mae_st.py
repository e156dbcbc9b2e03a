"""Space-time MAE equals the official program's numbers and its own description."""

import pytest
import torch
from tests.methods.official import TINY, check_pretraining, mae_name, numbers, part

from vmae_zoo.masking import TokenSplit
from vmae_zoo.methods import MAEST
from vmae_zoo.methods.mae_st import spread_frames

SIZE = TINY | {"image_size": 32, "mask_ratio": 0.75}


def golden():
    values = numbers("mae_st_pretrain")
    official = part(values, "w.", mae_name)
    weights = {}
    for name, value in official.items():
        if ".attn.q." in name:
            fused = [official[name.replace(".q.", f".{kind}.")] for kind in "qkv"]
            weights[name.replace(".q.", ".qkv.")] = torch.cat(fused)
        elif ".attn.k." not in name and ".attn.v." not in name:
            weights[name] = value
    method = MAEST(**SIZE)
    method.load_state_dict(weights)
    return method, values, TokenSplit.from_masks(values["in.mask"] == 1)


def test_prediction_loss_and_gradients_equal_the_official_numbers():
    method, values, split = golden()
    check_pretraining(method, values["in.clip"], split, values, mae_name)


@pytest.mark.parametrize(
    ("frames", "chosen", "expected"),
    [(16, 8, [0, 2, 4, 6, 8, 10, 12, 15]), (16, 16, list(range(16))), (4, 2, [0, 3]), (2, 1, [0])],
)
def test_target_frames_are_spread_as_published(frames, chosen, expected):
    assert spread_frames(frames, chosen).tolist() == expected
    assert torch.linspace(0, frames - 1, chosen).long().tolist() == expected


@pytest.mark.parametrize("pred_t_dim", [8, 16])
def test_targets_are_frames_of_the_input_normalized_over_all_values(pred_t_dim):
    method = MAEST(**SIZE, pred_t_dim=pred_t_dim)
    clip = torch.randn(2, 3, 16, 32, 32)
    split = method.sample_mask({"key": torch.tensor([3, 4])})
    out = method(clip, split)
    token = split.predicted[1, 5].item()
    slice_, top, left = token // 4, 16 * (token % 4 // 2), 16 * (token % 2)
    frames = [2 * slice_, 2 * slice_ + 1] if pred_t_dim == 16 else [[0, 2, 4, 6, 8, 10, 12, 15][slice_]]
    values = clip[1, :, frames, top : top + 16, left : left + 16].permute(1, 2, 3, 0).flatten()
    expected = (values - values.mean()) / (values.var(unbiased=True) + 1e-6).sqrt()
    torch.testing.assert_close(out.target[1, 5], expected, atol=1e-5, rtol=1e-5)
    assert out.prediction.shape == out.target.shape


def test_156_of_1568_tokens_are_visible():
    with torch.device("meta"):
        method = MAEST()
    split = method.sample_mask({"key": torch.arange(2)})
    assert split.visible.shape == (2, 156)
    assert split.predicted.shape == (2, 1412)


def test_the_class_token_of_the_encoder_does_not_enter_the_decoder():
    torch.manual_seed(0)
    method = MAEST(**SIZE)
    split = method.sample_mask({"key": torch.tensor([3])})
    tokens, cls = method.encoder(torch.randn(1, 3, 16, 32, 32), split.visible, return_cls=True)
    assert tokens.shape == (1, 8, 24)
    assert cls.shape == (1, 24)
    assert method.decoder_cls_token.abs().max() == 0


def test_initialization_is_the_official_one():
    torch.manual_seed(0)
    method = MAEST("tiny", image_size=64)
    for room in (method.encoder, method.decoder):
        for weight in room.blocks[0].attn.qkv.weight.chunk(3):  # q, k and v as matrices of their own
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.98 * bound < weight.abs().max() <= bound
        assert room.blocks[0].attn.qkv.bias.abs().max() == 0
        for table in room.positions.parameters():
            assert table.std().item() == pytest.approx(0.02, rel=0.3)
    proj = method.encoder.patch_embed.proj
    bound = (6 / (1536 + 192)) ** 0.5
    assert 0.98 * bound < proj.weight.abs().max() <= bound
    assert 0 < proj.bias.abs().max() <= 1536**-0.5
    assert method.encoder.preprocessing.mean == (0.45, 0.45, 0.45)
    assert method.encoder.preprocessing.std == (0.225, 0.225, 0.225)


def test_trunc_init_is_a_truncated_normal():
    torch.manual_seed(0)
    method = MAEST("tiny", image_size=64, depth=1, decoder_depth=1, trunc_init=True)
    for name, weight in method.named_parameters():
        if weight.ndim > 1 and "cls_token" not in name:
            assert weight.std().item() == pytest.approx(0.02, rel=0.3), name
            assert weight.abs().max() < 0.12


@pytest.mark.parametrize("pred_t_dim", [4, 12, 24, 0])
def test_invalid_numbers_of_target_frames_are_refused(pred_t_dim):
    with pytest.raises(ValueError, match=f"pred_t_dim = {pred_t_dim}"):
        MAEST(**SIZE, pred_t_dim=pred_t_dim)
