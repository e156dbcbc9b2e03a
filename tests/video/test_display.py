"""The display matrix and the default stream decide what is shown; probe, audit and clip agree."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from vmae_zoo.datasets.audit import audit
from vmae_zoo.video.decode import probe, read_clip

ONE = 1 << 16
TILT = (round(ONE * np.cos(0.17)), round(ONE * np.sin(0.17)))
# name: a, b, c, d of the matrix, what it does to the stored pixels, rotation in degrees counterclockwise
MATRICES = {
    "top and bottom": ((ONE, 0, 0, -ONE), lambda image: image[::-1], 0),
    "left and right": ((-ONE, 0, 0, ONE), lambda image: image[:, ::-1], 0),
    "transposed": ((0, ONE, ONE, 0), lambda image: image.swapaxes(0, 1), None),
    "quarter turn": ((0, ONE, -ONE, 0), lambda image: np.rot90(image, -1), -90),
    "half turn": ((-ONE, 0, 0, -ONE), lambda image: image[::-1, ::-1], 180),
    "tilted by 10 degrees": ((TILT[0], TILT[1], -TILT[1], TILT[0]), lambda image: image, -10),
    "zeros": ((0, 0, 0, 0), lambda image: image, 0),
}


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Overwrite the display matrix in the track header of an MP4."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("name", MATRICES)
def test_flips_turns_tilts_and_zeros_of_the_display_matrix(name, encode, tmp_path):
    path = encode(tmp_path / "clip.mp4", frames=3)
    stored = read_clip(path, [1])[0]
    matrix, show, rotation = MATRICES[name]
    path = path.rename(tmp_path / "turned.mp4")
    set_matrix(path, *matrix)
    shown = read_clip(path, [1])[0]
    assert np.array_equal(shown, show(stored))
    info = probe(path)
    assert (info.height, info.width) == shown.shape[:2]
    assert rotation is None or info.rotation == rotation
    found = audit(path)
    assert found.info == info
    assert found.verdict == ("good" if name == "zeros" else "odd")


def test_the_default_stream_is_read_and_not_the_preview_before_it(tmp_path):
    path = tmp_path / "two.mp4"
    with av.open(str(path), "w") as container:
        preview, main = (container.add_stream("libx264", rate=25) for _ in range(2))
        for stream, side in ((preview, 32), (main, 64)):
            stream.height = stream.width = side
            stream.pix_fmt = "yuv420p"
        preview.disposition, main.disposition = Disposition(0), Disposition.default
        for stream, side in ((preview, 32), (main, 64)):
            for number in range(4):
                image = np.full((side, side, 3), 40 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            container.mux(stream.encode(None))
    info = probe(path)
    assert (info.height, info.width, info.frames) == (64, 64, 4)
    assert read_clip(path, [0]).shape == (1, 64, 64, 3)
    assert audit(path).info == info
