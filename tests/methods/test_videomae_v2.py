"""VideoMAE V2 is VideoMAE with a second mask, and equals the official numbers."""

import pytest
import torch
from tests.methods.official import TINY, check_pretraining, numbers, part

from vmae_zoo.masking import TokenSplit
from vmae_zoo.methods import VideoMAE, VideoMAEv2
from vmae_zoo.randomness import sample_key

SIZE = TINY | {"image_size": 32, "mask_ratio": 0.75}
KEYS = torch.tensor([sample_key(0, 0, n) for n in range(3)])


def test_prediction_loss_and_gradients_equal_the_official_numbers():
    values = numbers("videomae_v2_pretrain")
    method = VideoMAEv2(**SIZE)
    method.load_state_dict(part(values, "w."))
    split = TokenSplit.from_masks(values["in.mask"] == 1, values["in.decoder_mask"] == 0)
    check_pretraining(method, values["in.clip"], split, values)


def test_a_sampled_split_has_the_counts_of_the_official_one():
    values = numbers("videomae_v2_pretrain")
    official = TokenSplit.from_masks(values["in.mask"] == 1, values["in.decoder_mask"] == 0)
    drawn = VideoMAEv2(**SIZE).sample_mask({"key": KEYS})
    assert drawn.visible.shape == official.visible.shape
    assert drawn.predicted.shape == official.predicted.shape
    assert torch.equal(drawn.weight.sum(1), official.weight.sum(1))


def test_without_a_decoder_mask_it_is_videomae():
    ours, theirs = (
        VideoMAEv2(**SIZE, decoder_mask_ratio=0).sample_mask({"key": KEYS}),
        VideoMAE(**SIZE).sample_mask({"key": KEYS}),
    )
    assert torch.equal(ours.visible, theirs.visible)
    assert torch.equal(ours.predicted, theirs.predicted)
    assert ours.weight is None


def test_doubled_tokens_have_no_loss_but_change_the_predictions():
    torch.manual_seed(0)
    method = VideoMAEv2("tiny", image_size=64)
    dropping = VideoMAEv2("tiny", image_size=64, drop_doubled=True)
    dropping.load_state_dict(method.state_dict())
    video = torch.randn(3, 3, 16, 64, 64)
    full, rest = method.sample_mask({"key": KEYS}), dropping.sample_mask({"key": KEYS})
    out, less = method(video, full), dropping(video, rest)
    counted = full.weight.bool()
    torch.testing.assert_close(less.target, out.target[counted].view_as(less.target))
    error = (less.prediction - out.prediction[counted].view_as(less.prediction)).abs().mean()
    assert 0 < error < 0.1 * out.prediction.abs().mean()  # the doubled mask tokens are attended to
    torch.testing.assert_close(out.loss, less.loss, rtol=1e-3, atol=0)


@pytest.mark.parametrize(("size", "millions"), [("base", 94.2), ("giant", 1026.3)])
def test_parameter_counts_follow_from_the_sizes(size, millions):
    with torch.device("meta"):
        method = VideoMAEv2(size)
    assert sum(p.numel() for p in method.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_giant_has_patches_of_14_and_mlps_of_48_over_11():
    with torch.device("meta"):
        method = VideoMAEv2("giant")
    assert method.grid.shape == (8, 16, 16)
    assert method.encoder.blocks[0].mlp.fc1.out_features == 6144
    assert method.decoder.blocks[0].mlp.fc1.out_features == 2234
    assert method.decoder.head.out_features == 1176
    assert [len(part.blocks) for part in (method.encoder, method.decoder)] == [40, 4]


@pytest.mark.slow
def test_decoders_have_the_published_sizes():
    with torch.device("meta"):
        decoders = {size: VideoMAEv2(size).decoder for size in ("small", "base", "large", "huge", "giant")}
    assert {size: (d.norm.normalized_shape[0], len(d.blocks)) for size, d in decoders.items()} == {
        "small": (192, 4),
        "base": (384, 4),
        "large": (512, 4),
        "huge": (512, 4),
        "giant": (512, 4),
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoder_mask_ratio": 0.4}, "decoder_mask_ratio = 0.4"),
        ({"image_size": 112}, "image_size .*32"),
        ({"frames": 12, "drop_doubled": True}, "frames .*8"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VideoMAEv2(**{"size": "tiny", **settings})


def test_settings_are_saved_with_the_weights(tmp_path):
    method = VideoMAEv2(**SIZE, decoder_mask_ratio=0.25, drop_doubled=True, base_lr=1e-3)
    torch.save(
        {
            "state_dict": method.state_dict(),
            "hyper_parameters": dict(method.hparams),
            "pytorch-lightning_version": "2.6.6",
        },
        tmp_path / "a.ckpt",
    )
    again = VideoMAEv2.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert dict(again.hparams) == dict(method.hparams)
    assert again.hparams["decoder_mask_ratio"] == 0.25
    assert again.hparams["base_lr"] == 1e-3
    assert torch.equal(again.mask_token, method.mask_token)
