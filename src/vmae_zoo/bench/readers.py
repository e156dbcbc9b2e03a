"""Ways to read frames of a video: `read_clip`, and other libraries that are installed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from vmae_zoo.video.decode import VideoError, read_clip

Reader = Callable[[Path, np.ndarray, tuple[int, int]], np.ndarray]


def readers() -> dict[str, Reader]:
    """Reader functions by name: (video, frame ids, (height, width)) -> uint8 (T, H, W, 3)."""
    found: dict[str, Reader] = {"vmae_zoo": ours, "pyav from frame 0": _pyav, "opencv": _opencv}
    try:
        import torchcodec.decoders  # noqa: F401

        found["torchcodec"] = _torchcodec
    except (ImportError, OSError, RuntimeError):  # needs FFmpeg's shared libraries, some builds also CUDA's
        pass
    try:
        import decord  # noqa: F401

        found["decord"] = _decord
    except (ImportError, OSError):
        pass
    return found


def ours(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`read_clip`."""
    return read_clip(path, ids, min(size))


def _pyav(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Decode from frame 0, convert and resize each wanted frame, as in examples of model hubs."""
    import av
    import cv2

    wanted, frames = set(ids.tolist()), {}
    with av.open(str(path), metadata_errors="replace") as container:
        container.streams.video[0].thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                frames[number] = cv2.resize(frame.to_ndarray(format="rgb24"), size[::-1])
            if number >= ids.max():
                break
    return np.stack([frames[number] for number in ids.tolist()])


def _opencv(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    video.set(cv2.CAP_PROP_POS_FRAMES, int(ids[0]))
    wanted, frames = set(ids.tolist()), {}
    for number in range(int(ids[0]), int(ids.max()) + 1):
        if not video.grab():
            raise VideoError(f"{path} ends early in OpenCV")
        if number in wanted:
            frames[number] = cv2.cvtColor(cv2.resize(video.retrieve()[1], size[::-1]), cv2.COLOR_BGR2RGB)
    return np.stack([frames[number] for number in ids.tolist()])


def _torchcodec(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Exact mode, which reads all packets first; resized with OpenCV, which was faster than its own transform."""
    import cv2
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC")
    frames = decoder.get_frames_at(ids.tolist()).data.numpy()
    return np.stack([cv2.resize(frame, size[::-1]) for frame in frames])


def _decord(path: Path, ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import decord

    video = decord.VideoReader(str(path), num_threads=1, height=size[0], width=size[1])
    return video.get_batch(ids.tolist()).asnumpy()
