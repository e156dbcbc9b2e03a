"""Warps against the formula, pixel by pixel."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmae_zoo.flow.remap import backward_warp, forward_splat, warp_on_device


def fetched(image, flow):
    """Bilinear, zeros outside, one pixel at a time."""
    height, width = image.shape
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            px, py = x + flow[y, x, 0], y + flow[y, x, 1]
            for cx in (math.floor(px), math.floor(px) + 1):
                for cy in (math.floor(py), math.floor(py) + 1):
                    if 0 <= cx < width and 0 <= cy < height:
                        out[y, x] += image[cy, cx] * (1 - abs(px - cx)) * (1 - abs(py - cy))
    return out


def splatted(image, flow):
    height, width = image.shape
    total, weight = np.zeros((2, height, width))
    for y in range(height):
        for x in range(width):
            px, py = x + flow[y, x, 0], y + flow[y, x, 1]
            for cx in (math.floor(px), math.floor(px) + 1):
                for cy in (math.floor(py), math.floor(py) + 1):
                    if 0 <= cx < width and 0 <= cy < height:
                        share = (1 - abs(px - cx)) * (1 - abs(py - cy))
                        total[cy, cx] += share * image[y, x]
                        weight[cy, cx] += share
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1), 0)


def random_case(seed, height=7, width=11, reach=4.0):
    rng = np.random.default_rng(seed)
    return rng.random((2, height, width), np.float32), rng.normal(0, reach, (2, height, width, 2)).astype(np.float32)


@pytest.mark.parametrize("warp", [backward_warp, warp_on_device])
@given(seed=st.integers(0, 10**6), reach=st.sampled_from([0.3, 4.0, 30.0]))
def test_backward_warp_equals_the_formula_on_every_path(warp, seed, reach):
    maps, flows = random_case(seed, reach=reach)
    out = warp(torch.from_numpy(maps), torch.from_numpy(flows)).numpy()
    for image, flow, ours in zip(maps, flows, out, strict=True):
        np.testing.assert_allclose(ours, fetched(image, flow), atol=1e-5)


@given(seed=st.integers(0, 10**6), reach=st.sampled_from([0.3, 4.0, 30.0]))
def test_forward_splat_equals_the_formula(seed, reach):
    maps, flows = random_case(seed, reach=reach)
    out = forward_splat(torch.from_numpy(maps), torch.from_numpy(flows)).numpy()
    for image, flow, ours in zip(maps, flows, out, strict=True):
        np.testing.assert_allclose(ours, splatted(image, flow), atol=1e-4)


@pytest.mark.parametrize("warp", [backward_warp, warp_on_device])
@given(dx=st.integers(-5, 5), dy=st.integers(-5, 5))
def test_whole_steps_move_every_value_and_leave_exact_zeros_outside(warp, dx, dy):
    image = torch.rand(1, 12, 12) + 0.5
    out = warp(image, torch.tensor([dx, dy]).float().expand(1, 12, 12, 2).contiguous())
    framed = torch.zeros(1, 22, 22)
    framed[:, 5:17, 5:17] = image
    wanted = framed[:, 5 + dy : 17 + dy, 5 + dx : 17 + dx]
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=0)
    assert torch.equal(out == 0, wanted == 0)


def test_no_flow_changes_nothing():
    image, still = torch.rand(3, 9, 9), torch.zeros(3, 9, 9, 2)
    assert torch.equal(backward_warp(image, still), image)
    assert torch.equal(forward_splat(image, still), image)
    torch.testing.assert_close(warp_on_device(image, still), image, atol=1e-6, rtol=0)
