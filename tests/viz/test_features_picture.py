"""Tokens as colors and attention: the numbers behind the picture equal those of plain formulas."""

import numpy as np
import pytest
import torch

from vmae_zoo.cli.main import main
from vmae_zoo.masking import TokenGrid
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.models.preprocessing import Preprocessing
from vmae_zoo.viz.features import attention_received, principal_colors, show_features

SETTINGS = Preprocessing(frames=4, stride_frames=2, size=32)


def encoder_of(**settings):
    torch.manual_seed(0)
    grid = TokenGrid.of_clip(4, 32, 32)
    return Encoder(grid, 24, 2, 2, preprocessing=SETTINGS, **settings).eval()


def clip():
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    return frames, encoder_of().preprocess(frames)


@pytest.mark.parametrize("settings", [{}, {"cls_token": True}, {"position": "rope", "bias": "qkv"}])
def test_attention_equals_that_of_the_block(settings):
    """Values replaced by one-hot vectors read the attention weights out of the block itself."""
    _, video = clip()
    encoder = encoder_of(**settings)
    attention, count = encoder.blocks[-1].attn, 8 + int("cls_token" in settings)
    caught = []
    attention.register_forward_pre_hook(lambda _, inputs: caught.append(inputs))
    with torch.no_grad():
        encoder(video)
        x, _, rotation = (*caught[0], None)[:3]
        q, k, _ = attention.queries_keys_values(x, rotation)
        one_hot = torch.eye(count).expand(1, 2, -1, -1)
        weights = torch.nn.functional.scaled_dot_product_attention(q, k, one_hot)[0].mean(0)
    expected = weights[0, 1:] if "cls_token" in settings else weights.mean(0)
    received = attention_received(attention, x, rotation, int("cls_token" in settings))
    np.testing.assert_allclose(received, expected.numpy(), atol=1e-6)


def test_colors_are_the_first_principal_components():
    sklearn = pytest.importorskip("sklearn.decomposition")
    tokens = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(8, 0, -1)
    colors, share = principal_colors(tokens)
    pca = sklearn.PCA(3).fit(tokens.numpy())
    scores = pca.transform(tokens.numpy())
    for channel in range(3):
        assert abs(np.corrcoef(colors[:, channel], scores[:, channel])[0, 1]) > 0.98
    assert share == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-4)


def test_the_panel_has_every_frame_and_leaves_the_encoder():
    frames, video = clip()
    encoder = encoder_of()
    panel = show_features(encoder.train(), video, frames)
    assert {label: rows.shape for label, rows in panel.rows.items()} == dict.fromkeys(
        ("clip", "token PCA", "attention"), (4, 32, 32, 3)
    )
    assert encoder.training
    assert not encoder.blocks[-1].attn._forward_pre_hooks
    assert list(show_features(encoder_of(attention="divided", bias="qkv"), video, frames).rows) == ["clip", "token PCA"]


@pytest.mark.slow
def test_the_command_draws_the_bundled_encoder(tmp_path, encode, capsys):
    video = encode(tmp_path / "a.mp4", frames=70, size=(96, 128))
    for suffix in ("png", "gif", "mp4"):
        out = tmp_path / f"features.{suffix}"
        assert (
            main(["features", "--checkpoint", "videomae_tiny.demo-16", "--video", str(video), "--out", str(out)]) == 0
        )
        assert out.stat().st_size > 1000
    assert "% of the variance of 64 tokens" in capsys.readouterr().out
