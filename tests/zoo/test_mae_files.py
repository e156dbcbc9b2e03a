"""Files of the official MAE and space-time MAE programs load to those programs' numbers, and are written back equal."""

import pytest
import torch
from safetensors.torch import load_file

from vmae_zoo import load_pretrained
from vmae_zoo.masking import TokenSplit
from vmae_zoo.zoo.convert import layout as layout_module

HEADS = {"num_heads": 2, "decoder_num_heads": 2}


@pytest.fixture(params=["mae", "mae_st"])
def golden(request):
    found = load_file(request.config.rootpath / "tests" / "golden" / f"{request.param}_pretrain.safetensors")
    return request.param, found, {name[2:]: value for name, value in found.items() if name.startswith("w.")}


def test_a_pretraining_file_gives_the_official_numbers(tmp_path, golden):
    layout, numbers, weights = golden
    torch.save({"model": weights}, tmp_path / "x.pth")
    method = load_pretrained(tmp_path / "x.pth", task="pretrain", **HEADS)
    video = numbers["in.image"][:, :, None] if layout == "mae" else numbers["in.clip"]
    hidden = numbers["in.mask"].bool()
    out = method(video, TokenSplit.from_masks(hidden))
    expected = numbers["out.pred_all_tokens"][hidden].view_as(out.prediction)
    assert torch.allclose(out.prediction, expected, atol=1e-5)
    assert torch.allclose(out.loss, numbers["out.loss"], atol=1e-5)
    assert method.loaded.layout == layout


def test_it_is_written_back_equal(tmp_path, golden):
    layout, _, weights = golden
    torch.save(weights, tmp_path / "x.pth")
    back = layout_module(layout).write(load_pretrained(tmp_path / "x.pth", task="pretrain", **HEADS))
    assert back.keys() == weights.keys()
    for name, value in weights.items():
        assert torch.allclose(back[name], value, atol=0 if not name.endswith("pos_embed") else 1e-6), name


def test_the_encoder_alone_loads(tmp_path, golden):
    _, _, weights = golden
    torch.save({n: v for n, v in weights.items() if "decoder" not in n and n != "mask_token"}, tmp_path / "x.pth")
    encoder = load_pretrained(tmp_path / "x.pth", num_heads=2)
    assert encoder.loaded.left_out == ()
    with pytest.raises(ValueError, match="an encoder alone, without a decoder"):
        load_pretrained(tmp_path / "x.pth", task="pretrain", **HEADS)


def test_other_positions_than_maes_are_not_taken_for_maes(tmp_path, golden):
    layout, _, weights = golden
    if layout == "mae":
        weights = {**weights, "decoder_pos_embed": weights["decoder_pos_embed"] + 1}
        torch.save(weights, tmp_path / "x.pth")
        with pytest.raises(ValueError, match="decoder_pos_embed"):
            load_pretrained(tmp_path / "x.pth", **HEADS)
