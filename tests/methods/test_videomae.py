"""VideoMAE equals the official program's numbers and its own description."""

import pytest
import torch
from tests.methods.official import TINY, check_pretraining, numbers, part

from vmae_zoo.masking import TokenSplit
from vmae_zoo.methods import VideoMAE
from vmae_zoo.models.sizes import DECODERS

SIZE = TINY | {"image_size": 32, "mask_ratio": 0.75}


def golden(version: str):
    values = numbers(f"videomae_{version}_pretrain")
    method = VideoMAE(**SIZE)
    method.load_state_dict(part(values, "w."))
    decoded = values["in.decoder_mask"] == 0 if "in.decoder_mask" in values else None
    return method, values, TokenSplit.from_masks(values["in.mask"] == 1, decoded)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_prediction_loss_and_gradients_equal_the_official_numbers(version):
    method, values, split = golden(version)
    check_pretraining(method, values["in.clip"], split, values)


def test_encoder_and_targets_equal_the_official_numbers():
    method, values, split = golden("v1")
    tokens = method.encoder(values["in.clip"], split.visible)
    torch.testing.assert_close(tokens, values["out.encoder"], atol=1e-5, rtol=1e-5)
    target = method(values["in.clip"], split).target
    torch.testing.assert_close(target, values["out.target"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", ["small", "base", "large", "huge"])
def test_parameter_counts_are_the_published_ones(size):
    millions = {"small": 24.0, "base": 94.2, "large": 343.0, "huge": 692.5}
    with torch.device("meta"):
        method = VideoMAE(size)
    assert sum(p.numel() for p in method.parameters()) / 1e6 == pytest.approx(millions[size], abs=0.06)


def test_every_size_but_giant_has_a_decoder():
    assert set(DECODERS["videomae"]) == {"tiny", "small", "base", "large", "huge"}
    with pytest.raises(ValueError, match="size = 'giant'"):
        VideoMAE("giant")


def test_initialization_is_the_official_one():
    torch.manual_seed(0)
    method = VideoMAE("tiny", image_size=64, mask_ratio=0.75)
    qkv, head = method.encoder.blocks[0].attn.qkv.weight, method.decoder.head.weight
    for weight in (qkv, head):  # xavier-uniform, the fused qkv as one matrix
        bound = (6 / sum(weight.shape)) ** 0.5
        assert 0.98 * bound < weight.abs().max() <= bound
    assert method.encoder.patch_embed.proj.bias.abs().max() > 0  # PyTorch's default stays
    bound = method.encoder_to_decoder.in_features**-0.5
    assert 0.98 * bound < method.encoder_to_decoder.weight.abs().max() <= bound
    assert 0 < method.mask_token.abs().max() <= 0.02
    assert method.encoder.blocks[0].attn.q_bias.abs().max() == 0


def test_predicting_zero_costs_511_over_512():
    method = VideoMAE("tiny", image_size=64, mask_ratio=0.75)
    torch.nn.init.zeros_(method.decoder.head.weight)
    batch = {"key": torch.arange(3)}
    out = method(torch.randn(3, 3, 16, 64, 64), method.sample_mask(batch))
    assert out.loss.item() == pytest.approx(511 / 512, abs=1e-4)


def test_gradient_checkpointing_changes_nothing_but_memory():
    method, values, split = golden("v1")
    plain = torch.autograd.grad(method(values["in.clip"], split).loss, list(method.parameters()))
    method.hparams["gradient_checkpointing"] = True
    method.configure_model()
    assert method.encoder.gradient_checkpointing
    again = torch.autograd.grad(method(values["in.clip"], split).loss, list(method.parameters()))
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other)


def test_pixels_can_be_the_target():
    method = VideoMAE(**SIZE, normalise_target=False)
    video = torch.rand(1, 3, 16, 32, 32)
    split = method.sample_mask({"key": torch.tensor([3])})
    target = method(method.encoder.normalizer(video * 255), split).target
    first = split.predicted[0, 0].item()
    t, h, w = first // 4, first % 4 // 2, first % 2
    cube = video[0, :, 2 * t : 2 * t + 2, 16 * h : 16 * h + 16, 16 * w : 16 * w + 16]
    torch.testing.assert_close(target[0, 0], cube.permute(1, 2, 3, 0).flatten(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio = 1.0"),
        ({"image_size": 220}, "height = 220"),
        ({"frames": 15}, "frames = 15"),
        ({"size": "basic"}, "size = 'basic'"),
        ({"num_heads": 7}, "768 .*7"),
    ],
)
def test_invalid_settings_are_refused(arguments, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        VideoMAE(**arguments)
