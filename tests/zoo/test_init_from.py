"""Weights put into a model that is about to be trained."""

import pytest
import timm
import torch
from torch.nn.functional import interpolate

from vmae_zoo.methods import MAEST, ARVideo, Classifier, VideoMAE, VideoMAEv2
from vmae_zoo.models.sincos import sincos_1d
from vmae_zoo.zoo import load_pretrained, start_from

SIZE = {"size": "tiny", "depth": 1, "frames": 4, "image_size": 32}


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    model = VideoMAE(**SIZE, mask_ratio=0.75)
    state = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(state)
    torch.save(state, tmp_path / "x.ckpt")
    return tmp_path / "x.ckpt", model.state_dict()


def test_the_same_method_takes_everything(checkpoint):
    path, weights = checkpoint
    model = VideoMAE(**SIZE, mask_ratio=0.75)
    loaded = start_from(model, path)
    assert loaded.missing == loaded.left_out == ()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "make", [lambda: Classifier(**SIZE, num_classes=3), lambda: VideoMAEv2(**SIZE, mask_ratio=0.75)]
)
def test_another_method_takes_the_encoder(checkpoint, make):
    path, weights = checkpoint
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = start_from(model, path)
    for name, value in model.state_dict().items():
        from_file = name.startswith("encoder.") and not name.startswith("encoder.fc_norm.")
        assert torch.equal(value, weights[name] if from_file else before[name]), name
    assert all(not name.startswith("encoder.") or "norm" in name for name in loaded.missing)
    assert any(name.startswith("decoder.") for name in loaded.left_out)
    assert model.training


def test_a_classifier_starts_its_norm_and_head_afresh_and_says_so(checkpoint):
    loaded = start_from(Classifier(**SIZE, num_classes=3), checkpoint[0])
    assert set(loaded.missing) == {"encoder.fc_norm.weight", "encoder.fc_norm.bias", "head.weight", "head.bias"}
    assert {"encoder.norm.weight", "encoder.norm.bias"} <= set(loaded.left_out)


def test_an_encoder_of_another_size_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"does not start this VideoMAE: its weights lack encoder\.blocks\.1"):
        start_from(VideoMAE(**{**SIZE, "depth": 2}, mask_ratio=0.75), checkpoint[0])
    with pytest.raises(ValueError, match="and this Classifier needs"):
        start_from(Classifier(**SIZE, num_classes=3, width=96, num_heads=3), checkpoint[0])


def saved(model, path):
    state = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(state)
    torch.save(state, path)
    return state


def slice_by_slice(table_SD, old, new):
    picture = table_SD.T.reshape(1, -1, old, old)
    return interpolate(picture, size=(new, new), mode="bicubic").flatten(2)[0].T


def test_learnt_positions_are_resized_for_other_frames_and_sizes(tmp_path):
    shape = {"size": "tiny", "depth": 1, "mask_ratio": 0.75}
    old = MAEST(**shape, frames=4, image_size=48, pred_t_dim=2)
    saved(old, tmp_path / "x.ckpt")
    new = MAEST(**shape, frames=8, image_size=80, pred_t_dim=4)
    loaded = start_from(new, tmp_path / "x.ckpt")
    assert loaded.line().endswith("positions resized from clips of 4 x 48 x 48 to 8 x 80 x 80")
    for part in ("encoder", "decoder"):
        before, after = (getattr(model, part).positions for model in (old, new))
        expected = slice_by_slice(before.pos_embed_spatial[0], 3, 5)
        torch.testing.assert_close(after.pos_embed_spatial[0], expected)
        expected = interpolate(before.pos_embed_temporal.transpose(1, 2), size=4, mode="linear").transpose(1, 2)
        torch.testing.assert_close(after.pos_embed_temporal, expected)
        assert torch.equal(after.pos_embed_class, before.pos_embed_class)


@pytest.mark.parametrize("method", [VideoMAE, ARVideo, Classifier])
def test_computed_positions_come_from_the_size_the_weights_were_trained_at(tmp_path, method):
    special = {ARVideo: {"cluster": (1, 1, 1), "drop": 0.0}, Classifier: {"num_classes": 3}}
    settings = {"size": "tiny", "depth": 1, **special.get(method, {"mask_ratio": 0.75})}
    old = method(**settings, frames=4, image_size=48)
    saved(old, tmp_path / "old.ckpt")
    new = method(**settings, frames=8, image_size=80)
    start_from(new, tmp_path / "old.ckpt")

    def check(model):
        for part in (model.encoder, *([model.decoder] if hasattr(model, "decoder") else [])):
            table = sincos_1d(4 * 9, part.positions.table.shape[-1])  # counts on over the two further slices
            expected = torch.cat([slice_by_slice(table_SD, 3, 5) for table_SD in table.chunk(4)])
            torch.testing.assert_close(part.positions()[0], expected)

    check(new)
    state = saved(new, tmp_path / "new.ckpt")
    task = "classify" if method is Classifier else "pretrain"
    check(load_pretrained(tmp_path / "new.ckpt", task=task))
    resumed = method(**settings, frames=8, image_size=80)  # a recipe does not say where the weights came from
    resumed.on_load_checkpoint(state)
    check(resumed)
    third = method(**settings, frames=8, image_size=80)
    assert start_from(third, tmp_path / "new.ckpt").positions is None
    check(third)


def test_a_file_that_does_not_say_its_size_is_taken_for_224_unless_told(tmp_path):
    torch.save({"model": VideoMAE(**SIZE, mask_ratio=0.75).state_dict()}, tmp_path / "x.pth")
    loaded = start_from(VideoMAE(**SIZE, mask_ratio=0.75), tmp_path / "x.pth")
    assert loaded.positions == "positions resized from clips of 16 x 224 x 224 to 4 x 32 x 32"
    told = VideoMAE(**SIZE, mask_ratio=0.75, trained_image_size=32)
    start_from(told, tmp_path / "x.pth")
    assert torch.equal(told.encoder.positions()[0], sincos_1d(2 * 4, 192))


def test_an_encoder_is_loaded_for_rectangular_clips(checkpoint):
    encoder = load_pretrained(checkpoint[0], clip=(8, 32, 64))
    assert encoder(torch.randn(1, 3, 8, 32, 64)).shape == (1, 4 * 2 * 4, 192)
    assert encoder.loaded.line().endswith("positions resized from clips of 4 x 32 x 32 to 8 x 32 x 64")
    table = sincos_1d(4 * 4, 192)[:4].T.reshape(1, 192, 2, 2)
    expected = interpolate(table, size=(2, 4), mode="bicubic").flatten(2)[0].T
    torch.testing.assert_close(encoder.positions()[0, :8], expected)
    with pytest.raises(ValueError, match="is for an encoder alone"):
        load_pretrained(checkpoint[0], task="pretrain", clip=(8, 32, 64))


def test_a_timesformer_starts_from_an_image_transformer(tmp_path):
    kind = {"attention": "divided", "pool": "cls", "position": "separable", "bias": "qkv", "cube_frames": 1}
    image = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=7)
    torch.save(image.state_dict(), tmp_path / "vit.pth")
    model = Classifier(size="tiny", depth=2, frames=4, image_size=32, num_classes=3, **kind).eval()
    loaded = start_from(model, tmp_path / "vit.pth")
    assert {"head.weight", "head.bias"} <= set(loaded.missing) & set(loaded.left_out)
    block, theirs = model.encoder.blocks[1], image.blocks[1]
    assert torch.equal(block.temporal_attn.qkv.weight, theirs.attn.qkv.weight)
    assert torch.equal(block.temporal_norm1.bias, theirs.norm1.bias)
    clip = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        _, cls = model.encoder(clip[:, :, :1].expand_as(clip), return_cls=True)
        torch.testing.assert_close(cls, image.eval().forward_features(clip[:, :, 0])[:, 0])


def test_a_classifier_of_other_classes_keeps_its_own_head(tmp_path):
    old, new = Classifier(**SIZE, num_classes=5), Classifier(**SIZE, num_classes=3)
    saved(old, tmp_path / "x.ckpt")
    loaded = start_from(new, tmp_path / "x.ckpt")
    assert set(loaded.missing) == set(loaded.left_out) == {"head.weight", "head.bias"}
    assert torch.equal(new.encoder.fc_norm.weight, old.encoder.fc_norm.weight)
    again = Classifier(**SIZE, num_classes=5)
    start_from(again, tmp_path / "x.ckpt")
    assert torch.equal(again.head.weight, old.head.weight)


@pytest.mark.slow
def test_what_no_shape_shows_is_compared(checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"3 attention heads, this Classifier has 6: set model.num_heads=3"):
        start_from(Classifier(**SIZE, num_classes=3, num_heads=6), checkpoint[0])
    half = (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match=r"normalized by mean \[0.485.*set model.mean="):
        start_from(Classifier(**SIZE, num_classes=3, mean=half, std=half), checkpoint[0])
    half_depth = VideoMAE(size="base", depth=6, frames=4, image_size=32).state_dict()
    torch.save({"model": half_depth}, tmp_path / "half.pth")
    loaded = load_pretrained(tmp_path / "half.pth", frames=4, image_size=32)
    assert "6 blocks, where the published encoder of width 768 has 12" in loaded.loaded.line()
