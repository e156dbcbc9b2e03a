"""Motion vectors of videos whose motion is known, because they are encoded here."""

import av
import cv2
import numpy as np
import pytest

from vmae_zoo.flow.codec import codec_flow

PAIRS = np.array([[1, 0], [0, 1], [3, 0], [2, 2]])
IDS = [4, 8, 12, 16]


@pytest.fixture(scope="module")
def texture():
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (400, 400, 3), dtype=np.uint8), (0, 0), 2)
    return cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)


def encode(path, texture, codec, options, dx=3, dy=-2, frames=24, size=(96, 128)):
    """A video of a texture that moves by (dx, dy) pixels a frame."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", options
        for t in range(frames):
            picture = texture[150 - dy * t :, 150 - dx * t :][:height, :width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"bf": "0", "refs": "1"}),
        ("libx264", {"bf": "2", "refs": "1", "b-pyramid": "none"}),
        ("mpeg4", {"bf": "0"}),
    ],
)
def test_vectors_add_up_to_the_motion_between_the_frames_asked_for(tmp_path, texture, codec, options):
    path = encode(tmp_path / "video.mp4", texture, codec, options)
    flows = codec_flow(path, IDS, PAIRS)
    assert flows.shape == (4, 12, 16, 2)
    for flow, frames in zip(flows, (-4, 4, -12, 0), strict=True):
        np.testing.assert_allclose(8 * np.median(flow, (0, 1)), (3 * frames, -2 * frames), atol=0.5)


def test_a_crop_is_cut_out_and_scaled(tmp_path, texture):
    path = encode(tmp_path / "video.mp4", texture, "libx264", {"bf": "0", "refs": "1"})
    flow = codec_flow(path, IDS, PAIRS[:1], box=(16, 32, 64, 64), size=(32, 16))[0]
    assert flow.shape == (32, 16, 2)
    np.testing.assert_allclose(np.median(flow, (0, 1)), (-12 * 16 / 64, 8 * 32 / 64), atol=0.1)


def test_a_still_background_stays_still_beside_a_moving_object(tmp_path, texture):
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.options = {"bf": "0", "refs": "1", "crf": "15"}
        for t in range(20):
            picture = np.ascontiguousarray(texture[:96, :128])
            picture[32:64, 8 + 4 * t : 40 + 4 * t] = texture[200:232, 200:232]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    flow = 8 * codec_flow(tmp_path / "video.mp4", [8, 9], np.array([[1, 0]]))[0]
    left = (8 + 4 * 9) // 8
    np.testing.assert_allclose(np.median(flow[5:7, left + 1 : left + 3], (0, 1)), (-4, 0), atol=0.3)
    assert np.abs(flow[9:]).max() < 0.3


def test_a_file_may_close_with_b_frames_and_ends_where_it_ends(tmp_path, texture):
    path = encode(tmp_path / "video.mp4", texture, "libx264", {"bf": "2", "refs": "1"}, frames=12)
    assert codec_flow(path, [10, 11], np.array([[1, 0]])).shape == (1, 12, 16, 2)
    with pytest.raises(IndexError, match=r"frame 12 is past the end of .*video.mp4, which has 12 frames"):
        codec_flow(path, [11, 12], np.array([[1, 0]]))
