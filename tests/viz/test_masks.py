"""Masks painted over a clip."""

import numpy as np
import pytest
import torch

from vmae_zoo.methods import ARVideo, VideoMAE, VideoMAEv2
from vmae_zoo.viz.masks import HIDDEN, OUTLINE, show_split

SMALL = {
    "size": "tiny",
    "frames": 4,
    "image_size": 64,
    "width": 24,
    "depth": 1,
    "num_heads": 2,
    "decoder_width": 24,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
}
BATCH = {"key": torch.tensor([3, 4])}


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(60, 250, (4, 64, 64, 3), dtype=np.uint8)


def token(picture_THWC, grid, token):
    t, place = divmod(token, grid.per_slice)
    h, w = divmod(place, grid.width)
    return picture_THWC[2 * t, h * 16 : h * 16 + 16, w * 16 : w * 16 + 16]


def test_visible_tokens_are_as_they_are_and_hidden_ones_covered(frames):
    method = VideoMAE(mask_ratio=0.75, **SMALL)
    split = method.sample_mask(BATCH)
    panel = show_split(method, split, frames, clip=1)
    assert list(panel.rows) == ["clip", "encoder sees"]
    assert panel.note == "8 of 32 tokens visible, 24 predicted"
    hidden = split.hidden(32)[1]
    for number in range(32):
        shown, true = token(panel.rows["encoder sees"], method.grid, number), token(frames, method.grid, number)
        if hidden[number]:
            assert np.abs(shown.astype(int) - HIDDEN).max() < 50
            assert (shown.std((0, 1)) < 0.5 * true.std((0, 1))).all()
        else:
            np.testing.assert_array_equal(shown, true)


def test_tokens_that_v2_decodes_are_outlined(frames):
    method = VideoMAEv2(mask_ratio=0.75, **SMALL)
    split = method.sample_mask(BATCH)
    picture = show_split(method, split, frames).rows["to predict"]
    decoded = set(split.predicted[0].tolist())
    for number in range(32):
        shown = token(picture, method.grid, number)
        assert (tuple(shown[0, 5]) == OUTLINE) == (number in decoded)
        inside = token(frames, method.grid, number)[1:-1, 1:-1]
        bright = number in decoded or number in split.visible[0]
        assert np.array_equal(shown[1:-1, 1:-1], inside) == bright


def test_clusters_have_the_colour_of_their_turn(frames):
    frames = np.full_like(frames, 200)
    method = ARVideo(cluster=(1, 2, 2), drop=0.5, **SMALL)
    order = method.sample_mask(BATCH)
    panel = show_split(method, order, frames)
    assert panel.note.startswith("14 of 32 tokens visible, 28 predicted in 7 steps")
    numbered = panel.rows["order of visit"]
    assert (numbered.min(axis=-1) == 255).any()  # the white of the numbers
    painted, yellow = numbered[:, ::2, ::2], []
    for step, cluster in enumerate(order.order[0].tolist()):
        kept = order.kept[0, step].tolist()
        of_cluster = method.cluster_tokens[cluster].tolist()
        assert set(kept) <= set(of_cluster)
        colors = {number: token(painted, method.grid, number)[8, 8].astype(int) for number in of_cluster}
        if step < 7:  # nothing follows the last cluster, so none of it is seen
            assert min(colors[n].sum() for n in kept) > max(colors[n].sum() for n in set(of_cluster) - set(kept))
        blue, red = colors[kept[0]][2], colors[kept[0]][0]
        yellow.append(red / (red + blue))
    assert yellow[0] < yellow[-1]
    assert yellow[4:] == sorted(yellow[4:])
