"""Positions for other frame counts, sizes and rectangular clips follow the written policy."""

import pytest
import torch

from vmae_zoo.masking import TokenGrid
from vmae_zoo.methods import Classifier
from vmae_zoo.models.encoder import Encoder, resized
from vmae_zoo.models.positions import build_pos_embed, resize_slice, resize_time
from vmae_zoo.models.sincos import sincos_1d

OLD = TokenGrid(4, 4, 4, cube=(2, 8, 8))


def encoder(position="sincos_1d", **settings):
    torch.manual_seed(0)
    bias = "qv" if position == "sincos_1d" else "qkv"
    return Encoder(OLD, 24, 2, 2, position=position, bias=bias, **settings).eval()


def test_more_frames_go_on_counting():
    longer = resized(encoder(), 16, 32, 32).positions()
    assert torch.equal(longer[0], sincos_1d(8 * 16, 24))
    assert torch.equal(longer[:, :64], encoder().positions())


def test_another_size_keeps_each_places_position():
    table = build_pos_embed("sincos_1d", TokenGrid(2, 8, 8), 24, trained=(None, 64))().view(2, 8, 8, 24)
    trained = sincos_1d(32, 24).view(2, 4, 4, 24)
    near = (table[:, 1::2, 1::2] + table[:, ::2, ::2] + table[:, 1::2, ::2] + table[:, ::2, 1::2]) / 4
    low = slice(8, 24)  # slow channels are smooth enough for the mean of four to be the place they surround
    torch.testing.assert_close(near[:, 1:3, 1:3, low], trained[:, 1:3, 1:3, low], atol=0.1, rtol=0)
    assert not torch.allclose(table.flatten(0, 2), sincos_1d(128, 24), atol=0.1)


@pytest.mark.parametrize("position", ["sincos_1d", "sincos_2d", "separable"])
@pytest.mark.parametrize("attention", ["joint", "divided"])
def test_rectangular_clips_go_through(position, attention):
    model = encoder(position, attention=attention, cls_token=position == "separable")
    other = resized(model, 12, 24, 48)
    assert other(torch.randn(1, 3, 12, 24, 48)).shape == (1, 6 * 3 * 6, 24)
    assert (other.preprocessing.frames, other.preprocessing.size) == (12, 24)
    clip = torch.randn(2, 3, 8, 32, 32)
    torch.testing.assert_close(resized(model, 8, 32, 32)(clip), model(clip))
    with pytest.raises(ValueError, match="height = 30"):
        resized(model, 8, 30, 32)


def test_learnt_tables_are_resized_where_they_differ():
    ramp = torch.arange(4.0)[:, None].expand(4, 3)
    assert torch.equal(resize_time(ramp, 4), ramp)
    torch.testing.assert_close(resize_time(ramp, 8)[2:4, 0], torch.tensor([0.75, 1.25]))
    plane = (torch.arange(6.0)[:, None] + 10 * torch.arange(5.0)).view(30, 1)
    larger = resize_slice(plane, (6, 5), (12, 10)).view(12, 10)
    assert larger[5, 5].item() == pytest.approx(2.25 + 22.5, abs=0.6)


def test_a_classifier_remembers_the_size_its_positions_come_from():
    settings = {"num_classes": 2, "frames": 4, "width": 24, "depth": 1, "num_heads": 2}
    small = Classifier(image_size=64, **settings)
    large = Classifier(image_size=96, trained_image_size=64, **settings)
    expected = resized(small.encoder, 4, 96, 96).positions()
    assert torch.equal(large.encoder.positions(), expected)
    assert torch.equal(Classifier(**large.hparams).encoder.positions(), expected)


@pytest.mark.parametrize("kind", ["sincos_3d", "sincos_3d_low"])
def test_volume_tables_are_resized_trilinearly_over_all_axes(kind):
    """A linear function of the indices is what trilinear resizing must reproduce away from the borders."""
    old = build_pos_embed(kind, OLD, 24)
    new = old.for_grid(TokenGrid(8, 4, 4, OLD.cube))
    table, twice = old().view(4, 4, 4, 24), new().view(8, 4, 4, 24)
    torch.testing.assert_close(twice[1:-1:2], 0.75 * table[:-1] + 0.25 * table[1:])
    wide = old.for_grid(TokenGrid(4, 4, 8, OLD.cube))().view(4, 4, 8, 24)
    torch.testing.assert_close(wide[:, :, 2::2][:, :, :3], 0.75 * table[:, :, 1:] + 0.25 * table[:, :, :-1])
    assert torch.equal(new.for_grid(OLD)(), old())  # always from the trained table: there and back loses nothing


@pytest.mark.parametrize("kind", ["sincos_3d", "sincos_3d_low", "rope"])
def test_a_model_built_again_from_its_settings_has_the_same_positions(kind):
    settings = {"frames": 8, "image_size": 96, "width": 24, "depth": 1, "num_heads": 2, "position": kind}
    model = Classifier(num_classes=2, trained_frames=4, trained_image_size=64, **settings)
    again = Classifier(**model.hparams)
    clip = torch.randn(1, 3, 8, 96, 96)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.eval()(clip), model.eval()(clip))
    if kind != "rope":
        trained = build_pos_embed(kind, TokenGrid(2, 4, 4), 24)
        assert torch.equal(model.encoder.positions(), trained.for_grid(TokenGrid(4, 6, 6))())
