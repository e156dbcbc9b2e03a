"""Space-time MAE equals the official program's numbers and its own description."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vmae_zoo.masking import TokenSplit
from vmae_zoo.methods import MAEST
from vmae_zoo.methods.mae_st import spread_frames

GOLDEN = Path(__file__).parents[1] / "golden" / "mae_st_pretrain.safetensors"
TINY = {
    "image_size": 32,
    "mask_ratio": 0.75,
    "width": 24,
    "depth": 2,
    "num_heads": 2,
    "decoder_width": 16,
    "decoder_depth": 2,
    "decoder_num_heads": 2,
}
RENAMED = {
    "decoder_embed": "encoder_to_decoder",
    "decoder_pred": "decoder.head",
    "decoder_norm": "decoder.norm",
    "decoder_blocks": "decoder.blocks",
    "decoder_cls_token": "decoder_cls_token",
    "mask_token": "mask_token",
}


def ours(name: str) -> str:
    first, dot, rest = name.partition(".")
    if "pos_embed" in first:
        part, first = ("decoder", first[8:]) if first.startswith("decoder_") else ("encoder", first)
        return f"{part}.positions.{first}"
    return RENAMED.get(first, f"encoder.{first}") + dot + rest


def golden():
    values = load_file(GOLDEN)
    official = {ours(name[2:]): value for name, value in values.items() if name.startswith("w.")}
    weights = {}
    for name, value in official.items():
        if ".attn.q." in name:
            fused = [official[name.replace(".q.", f".{part}.")] for part in "qkv"]
            weights[name.replace(".q.", ".qkv.")] = torch.cat(fused)
        elif ".attn.k." not in name and ".attn.v." not in name:
            weights[name] = value
    method = MAEST(**TINY)
    method.load_state_dict(weights)
    return method, values, TokenSplit.from_masks(values["in.mask"] == 1)


def test_prediction_loss_and_gradients_equal_the_official_numbers():
    method, values, split = golden()
    out = method(values["in.clip"], split)
    expected = values["out.pred_all_tokens"].gather(1, split.predicted[:, :, None].expand(-1, -1, 768))
    torch.testing.assert_close(out.prediction, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out.loss, values["out.loss"][0], atol=1e-5, rtol=1e-5)
    out.loss.backward()
    for name, value in values.items():
        if name.startswith("grad."):
            gradient = method.get_parameter(ours(name[5:])).grad
            torch.testing.assert_close(gradient, value, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("frames", "chosen", "expected"),
    [(16, 8, [0, 2, 4, 6, 8, 10, 12, 15]), (16, 16, list(range(16))), (4, 2, [0, 3]), (2, 1, [0])],
)
def test_target_frames_are_spread_as_published(frames, chosen, expected):
    assert spread_frames(frames, chosen).tolist() == expected
    assert torch.linspace(0, frames - 1, chosen).long().tolist() == expected


@pytest.mark.parametrize("pred_t_dim", [8, 16])
def test_targets_are_the_chosen_frames_of_the_input_normalised_over_all_values(pred_t_dim):
    method = MAEST(**TINY, pred_t_dim=pred_t_dim)
    clip = torch.randn(2, 3, 16, 32, 32)
    split = method.draw({"key": torch.tensor([3, 4])})
    out = method(clip, split)
    token = split.predicted[1, 5].item()
    slice_, top, left = token // 4, 16 * (token % 4 // 2), 16 * (token % 2)
    frames = [2 * slice_, 2 * slice_ + 1] if pred_t_dim == 16 else [[0, 2, 4, 6, 8, 10, 12, 15][slice_]]
    values = clip[1, :, frames, top : top + 16, left : left + 16].permute(1, 2, 3, 0).flatten()
    expected = (values - values.mean()) / (values.var(unbiased=True) + 1e-6).sqrt()
    torch.testing.assert_close(out.target[1, 5], expected, atol=1e-5, rtol=1e-5)
    assert out.prediction.shape == out.target.shape


def test_156_of_1568_tokens_stay_visible():
    with torch.device("meta"):
        method = MAEST()
    split = method.draw({"key": torch.arange(2)})
    assert split.visible.shape == (2, 156)
    assert split.predicted.shape == (2, 1412)


def test_class_token_of_the_encoder_stays_out_of_the_decoder():
    torch.manual_seed(0)
    method = MAEST(**TINY)
    split = method.draw({"key": torch.tensor([3])})
    tokens, cls = method.encoder(torch.randn(1, 3, 16, 32, 32), split.visible, return_cls=True)
    assert tokens.shape == (1, 8, 24)
    assert cls.shape == (1, 24)
    assert method.decoder_cls_token.abs().max() == 0


def test_initialisation_is_the_official_one():
    torch.manual_seed(0)
    method = MAEST("tiny", image_size=64)
    for part in (method.encoder, method.decoder):
        for weight in part.blocks[0].attn.qkv.weight.chunk(3):  # q, k and v as matrices of their own
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.98 * bound < weight.abs().max() <= bound
        assert part.blocks[0].attn.qkv.bias.abs().max() == 0
        for table in part.positions.parameters():
            assert table.std().item() == pytest.approx(0.02, rel=0.3)
    proj = method.encoder.patch_embed.proj
    bound = (6 / (1536 + 192)) ** 0.5
    assert 0.98 * bound < proj.weight.abs().max() <= bound
    assert 0 < proj.bias.abs().max() <= 1536**-0.5
    assert method.encoder.preprocessing.mean == (0.45, 0.45, 0.45)
    assert method.encoder.preprocessing.std == (0.225, 0.225, 0.225)


@pytest.mark.parametrize("pred_t_dim", [4, 12, 24, 0])
def test_target_frames_that_do_not_share_out_are_refused(pred_t_dim):
    with pytest.raises(ValueError, match=f"pred_t_dim = {pred_t_dim} frames do not share out"):
        MAEST(**TINY, pred_t_dim=pred_t_dim)
