"""Opening a video file and decoding it from the start."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmae_zoo.video.video_info import VideoError

_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def file_identity(path: str | Path) -> tuple[str, int, int]:
    """Name, size and modification time (ns) of a file; `VideoError` if it is missing, empty or not regular."""
    name = os.fspath(path)
    try:
        status = os.stat(name)
    except OSError as error:
        raise VideoError(f"{name} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{name} is not a regular file")
    if status.st_size == 0:
        raise VideoError(f"{name} is empty (0 bytes)")
    return name, status.st_size, status.st_mtime_ns


@contextmanager
def open_video(name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its default video stream for decoding with one thread; `VideoError` if there is none.

    Without a default it is the first one. Cover art and thumbnails are no videos.
    """
    try:
        container = av.open(f"file:{name}", metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{name} is not a video that FFmpeg can open: {error.strerror}") from None
    with container:
        videos = [stream for stream in container.streams.video if not stream.disposition & _PICTURES]
        if not videos:
            raise VideoError(f"{name} has no video stream")
        stream = next((stream for stream in videos if stream.disposition & Disposition.default), videos[0])
        if stream.codec_context is None:
            raise VideoError(f"{name} uses a codec that this FFmpeg cannot decode")
        stream.codec_context.thread_count = 1
        stream.codec_context.thread_type = "NONE"
        yield container, stream


def demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The stream's packets from the current position, and an empty one at the end.

    PyAV raises `IndexError` after them if another stream appeared inside of the file.
    """
    with suppress(IndexError):
        yield from container.demux(stream)


def decode_all(container: InputContainer, stream: VideoStream, name: str) -> Iterator[tuple[int, VideoFrame]]:
    """All frames from the start with their positions."""
    frames, position = (frame for packet in demux(container, stream) for frame in packet.decode()), 0
    while True:
        try:
            frame = next(frames, None)
        except av.FFmpegError as error:
            raise VideoError(f"{name} is damaged: decoding stops after {position} frames ({error.strerror})") from None
        if frame is None:
            break
        yield position, frame
        position += 1
    if position == 0:
        raise VideoError(f"{name} has no frame that can be decoded")
