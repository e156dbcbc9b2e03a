"""Files in the layout of the official programs load to the official programs' numbers."""

import argparse

import pytest
import torch
from safetensors.torch import load_file, save_file

from vmae_zoo import load_pretrained
from vmae_zoo.masking import TokenSplit

GOLDEN = "videomae_v1_pretrain"
TINY = {"num_heads": 2, "decoder_num_heads": 2, "image_size": 32, "frames": 16}


@pytest.fixture(scope="module")
def golden(request):
    return load_file(request.config.rootpath / "tests" / "golden" / f"{GOLDEN}.safetensors")


@pytest.fixture(scope="module")
def weights(golden):
    return {name[2:]: value for name, value in golden.items() if name.startswith("w.")}


def write(path, weights, wrapper):
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({wrapper: weights, "epoch": 799, "args": argparse.Namespace(lr=1.5e-4)}, path)
    return path


def check(method, golden):
    split = TokenSplit.from_masks(golden["in.mask"].bool())
    out = method(golden["in.clip"], split)
    assert torch.allclose(out.prediction, golden["out.pred"], atol=1e-5)
    assert torch.allclose(out.target, golden["out.target"], atol=1e-5)
    assert torch.allclose(out.loss, golden["out.loss"], atol=1e-5)
    assert torch.allclose(method.encoder(golden["in.clip"], split.visible), golden["out.encoder"], atol=1e-5)


@pytest.mark.parametrize("file", ["x.safetensors", "x.pth", "x.pt", "x.bin", "x.ckpt", "x.pyth"])
@pytest.mark.parametrize("wrapper", ["model", "module"])
def test_every_suffix_and_wrapper_gives_the_official_numbers(tmp_path, golden, weights, file, wrapper):
    path = write(tmp_path / file, weights, wrapper)
    method = load_pretrained(path, task="pretrain", **TINY)
    check(method, golden)
    assert type(method).__name__ == "VideoMAE"
    assert not method.training
    assert all(parameter.requires_grad for parameter in method.parameters())


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "model."])
def test_prefixes_of_wrappers_fall_away(tmp_path, golden, weights, prefix):
    path = write(tmp_path / "x.pth", {prefix + name: value for name, value in weights.items()}, "model")
    check(load_pretrained(path, task="pretrain", **TINY), golden)


def test_the_file_may_be_claimed_by_videomae_v2(tmp_path, golden, weights):
    path = write(tmp_path / "x.pth", weights, "model")
    method = load_pretrained(path, task="pretrain", method="videomae_v2", **TINY)
    assert type(method).__name__ == "VideoMAEv2"
    check(method, golden)
    with pytest.raises(ValueError, match="not mae_st"):
        load_pretrained(path, task="pretrain", method="mae_st", **TINY)


def test_the_encoder_comes_alone_and_says_what_was_left_out(tmp_path, golden, weights):
    path = write(tmp_path / "x.pth", weights, "model")
    encoder = load_pretrained(path, num_heads=2, image_size=32)
    visible = TokenSplit.from_masks(golden["in.mask"].bool()).visible
    assert torch.allclose(encoder(golden["in.clip"], visible), golden["out.encoder"], atol=1e-5)
    loaded = encoder.loaded
    assert set(loaded.used) == {name for name in weights if name.startswith("encoder.")}
    assert set(loaded.used) | set(loaded.left_out) == set(weights)
    assert loaded.missing == loaded.unexpected == ()


def test_heads_that_nothing_tells_are_asked_for(tmp_path, weights):
    path = write(tmp_path / "x.pth", weights, "model")
    with pytest.raises(ValueError, match="24: give num_heads"):
        load_pretrained(path, task="pretrain")
    with pytest.raises(ValueError, match="16: give decoder_num_heads"):
        load_pretrained(path, task="pretrain", num_heads=2)


def test_a_tensor_too_few_or_too_many_must_be_named(tmp_path, golden, weights):
    few = write(tmp_path / "few.pth", {n: v for n, v in weights.items() if n != "decoder.norm.bias"}, "model")
    with pytest.raises(ValueError, match=r"lacks decoder\.norm\.bias.*allow_missing"):
        load_pretrained(few, task="pretrain", **TINY)
    method = load_pretrained(few, task="pretrain", allow_missing=["decoder.norm.*"], **TINY)
    assert method.loaded.missing == ("decoder.norm.bias",)
    load_pretrained(few, **TINY)  # the encoder is whole

    many = write(tmp_path / "many.pth", {**weights, "encoder.spare": torch.ones(2)}, "model")
    with pytest.raises(ValueError, match=r"also holds encoder\.spare.*allow_unexpected"):
        load_pretrained(many, **TINY)
    method = load_pretrained(many, task="pretrain", allow_unexpected=["encoder.spare"], **TINY)
    assert method.loaded.unexpected == ("encoder.spare",)
    check(method, golden)


def test_zeroed_query_and_value_biases_are_warned_of(tmp_path, weights, caplog):
    zeroed = {n: torch.zeros_like(v) if n.endswith(("q_bias", "v_bias")) else v for n, v in weights.items()}
    load_pretrained(write(tmp_path / "zero.pth", zeroed, "model"), task="pretrain", **TINY)
    assert "every query and value bias is zero" in caplog.text
    caplog.clear()
    load_pretrained(write(tmp_path / "x.pth", weights, "model"), task="pretrain", **TINY)
    assert "bias" not in caplog.text


def test_a_pretraining_file_is_no_classifier(tmp_path, weights):
    path = write(tmp_path / "x.pth", weights, "model")
    with pytest.raises(ValueError, match="no classification head"):
        load_pretrained(path, task="classify", **TINY)


def test_unknown_words_are_refused(tmp_path, weights):
    path = write(tmp_path / "x.pth", weights, "model")
    with pytest.raises(ValueError, match="task = 'features'"):
        load_pretrained(path, task="features", **TINY)
    with pytest.raises(ValueError, match="method 'vmae'"):
        load_pretrained(path, method="vmae", **TINY)
