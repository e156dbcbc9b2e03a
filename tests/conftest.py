"""Clips for the tests: a folder of real ones from VMAE_ZOO_CLIPS, and odd ones that the suite encodes itself."""

import gc
import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line sets it: before torch is imported
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several workers share the cores

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import settings

gc.disable()  # until all is imported: collections free nothing meanwhile and take a quarter of the time
settings.register_profile("suite", max_examples=25, deadline=None)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Take what the imports made out of every later collection: a `Trainer` starts a full one whenever it ends."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips; skips where VMAE_ZOO_CLIPS does not name one."""
    if "VMAE_ZOO_CLIPS" not in os.environ:
        pytest.skip("VMAE_ZOO_CLIPS is not set to a folder of real clips")
    folder = Path(os.environ["VMAE_ZOO_CLIPS"])
    assert folder.is_dir(), f"VMAE_ZOO_CLIPS = {folder} is not a folder"
    return folder


@pytest.fixture(scope="session")
def small_set(tmp_path_factory) -> Path:
    """``train/<class>`` with 22 clips and ``val/<class>`` with 5: 12 frames of 40 x 32 noise each."""
    from vmae_zoo.datasets.synthetic.encode import encode

    root = tmp_path_factory.mktemp("small_set")
    noise = np.random.default_rng(0)
    for number in range(27):
        folder = root / ("train" if number < 22 else "val") / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        coarse = noise.integers(0, 256, (12, 4, 5, 3), dtype=np.uint8)
        encode(folder / f"{number:02d}.mp4", coarse.repeat(8, 1).repeat(8, 2))
    return root


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """The function `encode_clip`."""
    return encode_clip


def encode_clip(
    path: Path,
    codec: str = "libx264",
    frames: int = 30,
    size: tuple[int, int] = (48, 64),
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    times: Sequence[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rate: int = 25,
) -> Path:
    """Encode a moving pattern, no two frames alike.

    Args:
        path: file to write; its suffix is the container.
        codec: FFmpeg's name of the encoder.
        frames: number of frames.
        size: (height, width) in pixels.
        pix_fmt: FFmpeg's name of the pixel format.
        gop: longest distance of keyframes.
        times: presentation time of each frame in 1/1000 s, for a variable rate.
        rotation: display rotation in degrees counterclockwise.
        options: of the encoder.
        container_options: of the container.
        rate: frames a second, where ``times`` do not say it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *size, pix_fmt, gop
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(pattern(number, *size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def pattern(number: int, height: int, width: int) -> np.ndarray:
    """Frame ``number`` of the moving pattern: uint8 (height, width, 3)."""
    rows, columns = np.mgrid[:height, :width]
    red = 127 + 120 * np.sin(columns / 7 + number / 3)
    green = 127 + 120 * np.cos(rows / 5 - number / 4)
    blue = np.where((rows + columns + 3 * number) % 32 < 16, 40, 200)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)
