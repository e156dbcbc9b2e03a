"""DIS flow points from a pixel to where it went."""

import cv2
import numpy as np
import pytest

from vmae_zoo.flow import dis_flow, flow_function
from vmae_zoo.flow.dense import largest_shrink


def moving_texture(dx, dy, frames=3, side=96):
    """A texture that moves by (dx, dy) pixels a frame: uint8 (T, H, W, 3)."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (2 * side, 2 * side, 3), dtype=np.uint8)
    wide = cv2.normalize(cv2.GaussianBlur(wide, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)
    top, left = side // 2, side // 2
    return np.stack(
        [wide[top - dy * t : top - dy * t + side, left - dx * t : left - dx * t + side] for t in range(frames)]
    )


@pytest.mark.parametrize("shrink", [1, 2, 4])
@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, -3), (-2, 2)])
def test_flow_is_the_motion_in_pixels_of_its_own_size(shrink, dx, dy):
    flows = dis_flow(moving_texture(dx, dy), np.array([[0, 1], [1, 0], [0, 2]]), shrink)
    assert flows.shape == (3, 96 // shrink, 96 // shrink, 2)
    assert flows.dtype == np.float32
    for flow, times in zip(flows, (1, -1, 2), strict=True):
        inner = flow[24 // shrink : -24 // shrink, 24 // shrink : -24 // shrink]
        np.testing.assert_allclose(np.median(inner, (0, 1)) * shrink, (times * dx, times * dy), atol=0.7)


def test_the_number_of_threads_changes_nothing():
    clip, pairs = moving_texture(3, 1), np.array([[0, 1], [2, 1]])
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = dis_flow(clip, pairs)
        cv2.setNumThreads(4)
        np.testing.assert_array_equal(one, dis_flow(clip, pairs))
    finally:
        cv2.setNumThreads(before)


def test_a_clip_too_small_to_search_is_refused():
    with pytest.raises(ValueError, match=r"12 pixels.*16 x 16"):
        dis_flow(np.zeros((2, 16, 16, 3), np.uint8), np.array([[0, 1]]), shrink=2)


def test_an_estimator_is_found_by_name():
    assert flow_function("dis") is dis_flow
    assert flow_function("vmae_zoo.flow.dense.dis_flow") is dis_flow


@pytest.mark.parametrize("name", ["farneback", "no_such_package.flow", "vmae_zoo.flow.dense.nothing"])
def test_an_unknown_estimator_is_refused_with_the_choices(name):
    with pytest.raises(ValueError, match=f"flow = '{name}'.*dis, raft"):
        flow_function(name)


@pytest.mark.parametrize(
    ("size", "cube", "shrink"), [(224, 16, 4), (224, 14, 2), (32, 16, 2), (224, 7, 1), (16, 16, 1)]
)
def test_frames_shrink_as_far_as_whole_pixels_a_token_and_the_search_allow(size, cube, shrink):
    assert largest_shrink((size, size), cube) == shrink
