"""Methods with the shared encoder take any kind of positions, in encoder and decoder, and keep it with the weights."""

import pytest
import torch
from tests.methods.small import CASES, SMALL

from vmae_zoo import load_pretrained, methods
from vmae_zoo.methods import Classifier, VideoMAE
from vmae_zoo.zoo import start_from
from vmae_zoo.zoo.convert_checkpoint import convert

KINDS = ["sincos_1d", "sincos_3d", "sincos_3d_low", "rope"]


def method_of(name, **settings):
    torch.manual_seed(0)
    return getattr(methods, name)(**SMALL, **CASES[name], **settings).eval()


def step(method):
    frames, side, _ = method.grid.pixels
    video = torch.randint(0, 256, (2, 3, frames, side, side), generator=torch.Generator().manual_seed(1))
    batch = {"video": video.byte(), "key": torch.arange(2), "scores": torch.rand(2, method.grid.tokens)}
    inputs = method.prepare_inputs(batch)
    return method(*inputs)


def save(method, path):
    state = {"state_dict": method.state_dict()}
    method.on_save_checkpoint(state)
    torch.save(state, path)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["VideoMAE", "VideoMAEv2", "MGMAE", "ARVideo"])
def test_encoder_and_decoder_take_the_kind_and_weights_keep_it(name, kind, tmp_path):
    method = method_of(name, position=kind)
    assert method.encoder.positions.kind == method.decoder.positions.kind == kind
    loaded = load_pretrained(save(method, tmp_path / "x.ckpt"), task="pretrain").eval()
    torch.manual_seed(2)
    expected = step(method)
    torch.manual_seed(2)
    torch.testing.assert_close(step(loaded).prediction, expected.prediction)


@pytest.mark.parametrize("name", ["VideoMAE", "ARVideo"])
def test_predictions_depend_on_the_kind(name):
    losses = {kind: step(method_of(name, position=kind)).loss.item() for kind in KINDS}
    assert len(set(losses.values())) == len(KINDS)


@pytest.mark.parametrize("name", ["VideoMAE", "ARVideo"])
def test_a_decoder_with_rotary_positions_tells_hidden_tokens_apart(name):
    """Mask tokens and queries are alike before attention: only their positions tell them apart."""
    prediction = step(method_of(name, position="rope")).prediction
    assert (prediction - prediction[:, :1]).abs().amax(-1)[:, 1:].min() > 1e-5


def test_frequencies_of_rotary_positions_are_kept(tmp_path):
    method = method_of("VideoMAE", position="rope", rope_frequencies="tiled")
    encoder = load_pretrained(save(method, tmp_path / "x.ckpt"))
    assert encoder.positions.frequencies == "tiled"


def test_weights_of_another_kind_are_refused_as_a_start(tmp_path):
    path = save(method_of("VideoMAE", position="sincos_3d"), tmp_path / "x.ckpt")
    settings = {**SMALL, "frames": 4, "image_size": 64, "num_classes": 2}
    with pytest.raises(ValueError, match=r"sincos_3d, this Classifier has sincos_1d.*model\.position=sincos_3d"):
        start_from(Classifier(**settings), path)
    start_from(Classifier(**settings, position="sincos_3d"), path)
    tiled = save(method_of("VideoMAE", position="rope", rope_frequencies="tiled"), tmp_path / "y.ckpt")
    with pytest.raises(ValueError, match=r"rope_frequencies = tiled.*model\.rope_frequencies=tiled"):
        start_from(Classifier(**settings, position="rope"), tiled)


def test_a_start_at_another_length_interpolates_over_time(tmp_path):
    path = save(method_of("VideoMAE", position="sincos_3d"), tmp_path / "x.ckpt")
    settings = {**SMALL, "frames": 16, "image_size": 96, "mask_ratio": 0.75, "position": "sincos_3d"}
    model = VideoMAE(**settings, decoder_width=16, decoder_depth=1, decoder_num_heads=2)
    start_from(model, path)
    assert (model.hparams["trained_frames"], model.hparams["trained_image_size"]) == (4, 64)
    trained = method_of("VideoMAE", position="sincos_3d").encoder.positions
    assert torch.equal(model.encoder.positions(), trained.for_grid(model.grid)())
    again = load_pretrained(save(model, tmp_path / "y.ckpt"))
    assert torch.equal(again.positions(), model.encoder.positions())


def test_layouts_that_cannot_say_the_kind_refuse_to_hold_it(tmp_path):
    path = save(method_of("VideoMAE", position="rope"), tmp_path / "x.ckpt")
    for layout, target in (("videomae", "x.pth"), ("transformers", "folder")):
        with pytest.raises(ValueError, match="has position = rope"):
            convert(path, tmp_path / target, layout)
