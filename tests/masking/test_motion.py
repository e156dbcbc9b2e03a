"""Motion-guided masks follow exact flows in both directions of time and have the published counts."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vmae_zoo.flow import dis_flow
from vmae_zoo.masking import MotionGuidedScorer, TokenGrid, topk_split, tube_mask
from vmae_zoo.masking.motion import EPS, initial_map, propagation_order, seed_tokens
from vmae_zoo.randomness import sample_key

GRID = TokenGrid(8, 14, 14)
KEYS = torch.tensor([sample_key(3, 0, n) for n in range(6)])
MAPS = st.sampled_from(["mix_gauss", "token_rand", "pixel_rand"])
WARPS = st.sampled_from(["backward", "forward"])
BASES = st.sampled_from(["middle", "first", "random"])


def exact_flow(guide, keys, velocity, size):
    """Flow, of the pairs of the guide, of a scene that moves by ``velocity`` pixels per frame."""
    pairs = guide.pairs(keys)
    frames = (pairs[..., 1] - pairs[..., 0]).float()
    return (
        (frames[..., None] * torch.tensor(velocity).float())[:, :, None, None]
        .expand(*frames.shape, *size, 2)
        .contiguous()
    )


def spatial(split, visible):
    return (
        split.visible.view(len(split.visible), GRID.time, visible) - torch.arange(GRID.time)[:, None] * GRID.per_slice
    )


@given(st.integers(2, 20), st.data())
def test_every_frame_is_warped_once_from_its_neighbor_nearer_the_base(frames, data):
    base = torch.tensor(data.draw(st.lists(st.integers(0, frames - 1), min_size=1, max_size=3)))
    for start, steps in zip(base.tolist(), propagation_order(base, frames), strict=True):
        known = {start}
        for new, source in steps.tolist():
            assert source in known
            assert new not in known
            assert abs(new - start) == abs(source - start) + 1
            known.add(new)
        assert known == set(range(frames))


@pytest.mark.parametrize("size", [(224, 224), (112, 112), (56, 56)])
def test_the_gaussian_map_equals_its_formula(size):
    maps, seeds = initial_map(KEYS, GRID, size, 0.9, "mix_gauss"), seed_tokens(KEYS, GRID, 0.9)
    cell = size[0] // 14
    y, x = np.mgrid[: size[0], : size[1]]
    for ours, tokens in zip(maps.numpy(), seeds.tolist(), strict=True):
        assert len(set(tokens)) == 20
        centers = [((p % 14 + 0.5) * cell - 0.5, (p // 14 + 0.5) * cell - 0.5) for p in tokens]
        bumps = [np.exp(-(((x - cx) / cell) ** 2) - ((y - cy) / cell) ** 2) for cx, cy in centers]
        wanted = np.max(bumps, 0) / np.max(bumps)
        np.testing.assert_allclose(ours, np.maximum(wanted, EPS), atol=1e-6)


def test_token_and_pixel_maps_are_one_or_eps():
    tokens = initial_map(KEYS, GRID, (112, 112), 0.9, "token_rand").view(6, 14, 8, 14, 8)
    assert ((tokens == 1).float().mean((2, 4)).sum((1, 2)) == 20).all()
    pixels = initial_map(KEYS, GRID, (224, 224), 0.9, "pixel_rand")
    assert ((pixels == 1).sum((1, 2)) == int(224 * 224 * (1 - 0.9))).all()
    for values in (tokens, pixels):
        assert set(values.unique().tolist()) == {np.float32(EPS).item(), 1.0}


@settings(deadline=None, max_examples=12)
@given(st.sampled_from(["mix_gauss", "token_rand"]), BASES, WARPS, st.integers(0, 10**6), st.sampled_from([56, 112]))
def test_without_motion_the_mask_is_a_tube(kind, base, warp, seed, side):
    keys = torch.tensor([sample_key(seed, 0, n) for n in range(2)])
    guide = MotionGuidedScorer(GRID, 0.9, kind, base, warp)
    scores = guide.scores(keys, torch.zeros(2, 15, side, side, 2))
    seeds = seed_tokens(keys, GRID, 0.9).sort(1).values
    tube = spatial(topk_split(scores, GRID, 0.9, "videomae"), 20)
    assert torch.equal(tube, seeds[:, None].expand(-1, 8, -1))
    published = spatial(topk_split(scores, GRID, 0.9), 19)
    for clip in range(2):
        for slice_ in published[clip]:
            assert set(slice_.tolist()) < set(seeds[clip].tolist())


@settings(deadline=None, max_examples=10)
@given(BASES, WARPS, st.integers(-9, 9), st.integers(-9, 9))
def test_an_exact_translation_moves_the_map_in_both_directions_of_time(base, warp, dx, dy):
    guide = MotionGuidedScorer(GRID, 0.9, base_frame=base, warp=warp)
    volume = guide.warped_maps(KEYS[:2], exact_flow(guide, KEYS[:2], (dx, dy), (112, 112)))
    for maps, start in zip(volume, guide.base_frame_index(KEYS[:2]).tolist(), strict=True):
        for frame in range(16):
            x, y = dx * (frame - start), dy * (frame - start)
            if max(abs(x), abs(y)) >= 112:
                continue
            new = maps[frame][max(y, 0) : 112 + min(y, 0), max(x, 0) : 112 + min(x, 0)]
            old = maps[start][max(-y, 0) : 112 + min(-y, 0), max(-x, 0) : 112 + min(-x, 0)]
            torch.testing.assert_close(new, old, atol=1e-5, rtol=0)


@pytest.mark.parametrize("warp", ["backward", "forward"])
def test_visible_tokens_follow_the_motion(warp):
    guide = MotionGuidedScorer(GRID, 0.9, "token_rand", warp=warp, hole_filling="none")
    flow = exact_flow(guide, KEYS, (8, 0), (224, 224))  # half a token a frame, one a slice
    shown = spatial(topk_split(guide.scores(KEYS, flow), GRID, 0.9, "videomae"), 20)
    base = {clip: set(shown[clip, 4].tolist()) for clip in range(6)}
    for clip in range(6):
        for slice_ in (2, 3, 5, 6):
            wanted = {p + slice_ - 4 for p in base[clip] if 0 <= p % 14 + slice_ - 4 < 14}
            assert wanted <= set(shown[clip, slice_].tolist())


@given(WARPS, st.integers(6, 20))
@settings(deadline=None, max_examples=8)
def test_holes_are_filled(warp, step):
    volumes, size = {}, (56, 56)
    for filling in ("none", "consist", "previous"):
        guide = MotionGuidedScorer(GRID, 0.9, base_frame="first", warp=warp, hole_filling=filling)
        volumes[filling] = guide.warped_maps(KEYS[:1], exact_flow(guide, KEYS[:1], (step, 0), size))[0]
    first = volumes["none"][0]
    hole = volumes["none"][1] == 0
    assert torch.equal(hole, (torch.arange(56) < step).expand(56, 56))  # left of the frame
    for filling in ("consist", "previous"):
        assert torch.equal(volumes[filling][1][hole], first[hole])
        assert (volumes[filling] > 0).all()
    second = torch.arange(56) < step
    torch.testing.assert_close(volumes["consist"][2][:, second], first[:, second])
    torch.testing.assert_close(volumes["previous"][2][:, second], volumes["previous"][1][:, second])


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**6), MAPS, BASES, WARPS, st.sampled_from(["none", "consist", "previous"]), st.floats(0, 8))
def test_any_flow_leaves_the_same_number_visible_in_every_slice(seed, kind, base, warp, filling, reach):
    torch.manual_seed(seed)
    guide = MotionGuidedScorer(GRID, 0.9, kind, base, warp, filling)
    scores = guide.scores(KEYS[:2], reach * torch.randn(2, 15, 56, 56, 2))
    split = topk_split(scores, GRID, 0.9)
    assert split.visible.shape == (2, 152)
    assert split.predicted.shape == (2, 1416)
    assert ((split.visible // 196).view(2, 8, 19) == torch.arange(8)[:, None]).all()
    both = torch.cat([split.visible, split.predicted], 1).sort(1).values
    assert torch.equal(both, torch.arange(1568).expand(2, -1))
    for ids in (split.visible, split.predicted):
        assert torch.equal(ids, ids.sort(1).values)
    hidden = split.hidden(1568)
    for clip in range(2):
        for slice_scores, slice_hidden in zip(scores[clip].view(8, -1), hidden[clip].view(8, -1), strict=True):
            assert slice_scores[~slice_hidden].min() >= slice_scores[slice_hidden].max()


def test_topk_over_the_clip_selects_the_highest_scores():
    scores = torch.rand(3, 1568)
    split = topk_split(scores, GRID, 0.9, topk="clip")
    assert torch.equal(split.visible, scores.topk(152).indices.sort(1).values)
    assert split.predicted.shape == (3, 1416)


@pytest.mark.parametrize(("ratio", "floor", "videomae"), [(0.9, 19, 20), (0.75, 49, 49), (0.5, 98, 98)])
def test_rounding_is_that_of_mgmae_or_videomae(ratio, floor, videomae):
    scores = torch.rand(1, 1568)
    assert topk_split(scores, GRID, ratio).visible.shape[1] == 8 * floor
    assert (
        topk_split(scores, GRID, ratio, "videomae").visible.shape
        == tube_mask(KEYS[:1], GRID, ratio).visible.shape
        == (1, 8 * videomae)
    )


def test_masks_are_functions_of_key_and_flow():
    guide = MotionGuidedScorer(GRID, base_frame="random")
    flow = torch.randn(6, 15, 56, 56, 2)
    together = guide.scores(KEYS, flow)
    assert torch.equal(together[4:5], guide.scores(KEYS[4:5], flow[4:5]))
    assert len(set(guide.base_frame_index(KEYS).tolist())) > 1


@pytest.mark.parametrize("warp", ["backward", "forward"])
@pytest.mark.parametrize("filling", ["consist", "previous", "none"])
@pytest.mark.parametrize("base", ["middle", "random"])
def test_scores_of_a_worker_equal_those_of_the_device(warp, filling, base):
    flow = 6 * torch.randn(15, 56, 56, 2, generator=torch.Generator().manual_seed(1))
    asked = []

    def estimate(clip, pairs):
        asked.append(pairs)
        return flow.numpy()

    guide = MotionGuidedScorer(GRID, base_frame=base, warp=warp, hole_filling=filling, flow=estimate)
    scores = guide(np.zeros((16, 224, 224, 3), np.uint8), int(KEYS[0]))
    assert scores.shape == (1568,)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(asked[0], guide.pairs(KEYS[:1])[0])
    np.testing.assert_allclose(scores, guide.scores(KEYS[:1], flow[None])[0], atol=1e-5)


def test_the_default_flow_is_dis_at_the_lowest_resolution():
    clip = np.random.default_rng(0).integers(0, 256, (16, 112, 112, 3), dtype=np.uint8)
    grid = TokenGrid(8, 7, 7)
    named = MotionGuidedScorer(grid)(clip, 5)
    np.testing.assert_array_equal(named, MotionGuidedScorer(grid, flow=partial(dis_flow, shrink=4))(clip, 5))


def test_flow_of_a_quarter_of_the_resolution_selects_nearly_the_same_tokens():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:224, :224]
    picture = (127 + 60 * np.sin(rows / 7) + 60 * np.sin(columns / 9))[..., None] + rng.normal(0, 8, (224, 224, 3))
    clip = np.stack([np.roll(picture, 5 * t, 1) for t in range(16)]).clip(0, 255).astype(np.uint8)
    full, small = (MotionGuidedScorer(GRID, flow=partial(dis_flow, shrink=s))(clip, 7) for s in (1, 4))
    shown = [set(topk_split(torch.from_numpy(s)[None], GRID, 0.9).visible[0].tolist()) for s in (full, small)]
    assert len(shown[0] & shown[1]) > 0.8 * 152


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial_map": "gauss"}, "initial_map = 'gauss' .* mix_gauss, pixel_rand, token_rand"),
        ({"base_frame": "last"}, "base_frame = 'last'"),
        ({"warp": "backwarp"}, "warp = 'backwarp'"),
        ({"hole_filling": "prev"}, "hole_filling = 'prev'"),
        ({"mask_ratio": 1.0}, "mask_ratio = 1.0"),
    ],
)
def test_unknown_choices_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MotionGuidedScorer(GRID, **settings)


def test_a_flow_that_is_no_multiple_of_the_grid_is_refused():
    with pytest.raises(ValueError, match=r"60 x 60 .* 14 x 14"):
        MotionGuidedScorer(GRID).scores(KEYS, torch.zeros(6, 15, 60, 60, 2))
