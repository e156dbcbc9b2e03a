"""Motion vectors painted and added up, against loops."""

import av
import numpy as np
import pytest

from vmae_zoo.flow.codec import VECTOR, between, block_fields, look_up

RNG = np.random.default_rng(0)


def blocks(height, width):
    """Macroblocks of a frame, some split in two or four, some without a vector, some from a later frame."""
    for top in range(0, height, 16):
        for left in range(0, width, 16):
            high, wide = [(16, 16), (8, 16), (16, 8), (8, 8)][RNG.integers(4)]
            for y in range(top, top + 16, high):
                for x in range(left, left + 16, wide):
                    if RNG.random() < 0.8:
                        yield y, x, high, wide, RNG.integers(-40, 40, 2), RNG.choice([-1, 1], p=[0.8, 0.2])


@pytest.mark.parametrize(("height", "width"), [(64, 96), (50, 70), (8, 8)])
def test_each_block_has_its_vector(height, width):
    fields, frames = [], []
    for scale in (4, 2):
        found = list(blocks(height, width))
        vectors = np.zeros(len(found), VECTOR)
        expected = np.zeros((height + 16, width + 16, 2))
        for vector, (y, x, high, wide, move, source) in zip(vectors, found, strict=True):
            vector["source"], vector["motion_scale"] = source, scale
            vector["motion"] = np.array(move, np.int32).view(np.int64)[0]
            vector["dst_y"], vector["dst_x"], vector["h"], vector["w"] = y + high // 2, x + wide // 2, high, wide
            if source < 0:
                expected[y : y + high, x : x + wide] = move / scale / 8  # in blocks
        frames.append(vectors.tobytes())
        fields.append(expected[4 : height + 4 : 8, 4 : width + 4 : 8][: -(-height // 8), : -(-width // 8)])
    np.testing.assert_allclose(block_fields(frames, height, width), fields)


def test_a_vector_is_what_pyav_reads(tmp_path, encode):
    path = encode(tmp_path / "video.mp4")
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.options = {"flags2": "+export_mvs"}
        vectors = [frame.side_data.get("MOTION_VECTORS") for frame in container.decode(video=0)][5]
    ours, theirs = np.frombuffer(vectors, VECTOR), vectors.to_ndarray()
    for name in ("source", "w", "h", "dst_x", "dst_y", "motion_scale"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    both = ours["motion"].copy().view(np.int32).reshape(-1, 2)
    np.testing.assert_array_equal(both, np.stack([theirs["motion_x"], theirs["motion_y"]], axis=1))
    assert both.any()


def at(field, y, x):
    """A field between its points, by hand; beyond its edge that of the edge."""
    y, x = (float(np.clip(value, 0, side - 1)) for value, side in zip((y, x), field.shape, strict=False))
    above, before = int(y), int(x)
    down, right = min(above + 1, field.shape[0] - 1), min(before + 1, field.shape[1] - 1)
    part_y, part_x = y - above, x - before
    first = field[above, before] * (1 - part_x) + field[above, right] * part_x
    return first * (1 - part_y) + (field[down, before] * (1 - part_x) + field[down, right] * part_x) * part_y


def test_a_block_is_followed_from_frame_to_frame():
    steps = [look_up(RNG.normal(0, 2, (3, 4, 2)).astype(np.float32), grid(9, 12) / 3) for _ in range(4)]
    flow = between(lambda position: steps[position], 3, 0)
    for row in range(9):
        for column in range(12):
            x, y = column, row
            for step in (steps[3], steps[2], steps[1]):
                move = at(step, y, x)
                x, y = x + move[0], y + move[1]
            np.testing.assert_allclose(flow[row, column], (x - column, y - row), atol=0.15)  # OpenCV: 1/32 of a block


def grid(rows, columns):
    return np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).astype(np.float32)


def test_the_way_back_leads_to_where_it_came_from():
    x, y = grid(20, 30).transpose(2, 0, 1)
    steps = [np.stack([np.sin(y / 5 + t), 0.8 * np.cos(x / 6)], axis=-1).astype(np.float32) for t in range(4)]
    back, forth = (between(lambda position: steps[position], *pair) for pair in ((3, 0), (0, 3)))
    there = look_up(forth, grid(20, 30) + back)
    inside = (slice(3, -3), slice(3, -3))
    assert np.abs(back[inside]).max() > 1
    np.testing.assert_allclose((back + there)[inside], 0, atol=0.2)
    assert not between(lambda position: steps[position], 2, 2).any()
