"""All frames and packets of one video file, for its audit."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from vmae_zoo.video.container import demux, open_video
from vmae_zoo.video.decode import VideoError
from vmae_zoo.video.ffmpeg_log import capture_damage
from vmae_zoo.video.frame_conversion import display_matrix
from vmae_zoo.video.packet_index import PacketIndex, read_packet_index

FIXED_RATE = ("mpeg1video", "mpeg2video")  # codecs; in MPEG streams, all others may have a variable rate


@dataclass(frozen=True)
class DecodedFile:
    """What a decode of the whole file yields, and the file's header."""

    times: list[int | None]  # presentation time of each frame
    sizes: Counter[tuple[int, int]]
    corrupt_frames: int
    matrix: np.ndarray | None  # of the display
    corrupt_packets: int
    error: str
    messages: list[str]  # of FFmpeg, about damage
    seconds: float
    header_frames: int
    rate: float
    codec: str
    container: str
    b_frames: bool
    time_step: float  # seconds
    only_stream: bool

    @property
    def fixed_rate(self) -> bool:
        """Whether the codec has a fixed frame rate."""
        return self.codec in FIXED_RATE and self.container.startswith("mpeg")


def decode_file(path: Path) -> DecodedFile:
    """Decode a file from start to end; `VideoError` if it has no frame."""
    with capture_damage() as messages, open_video(str(path)) as (container, stream):
        times: list[int | None] = []
        sizes: Counter[tuple[int, int]] = Counter()
        corrupt, corrupt_packets, matrix, reason = 0, 0, None, ""
        try:
            for packet in demux(container, stream):
                corrupt_packets += packet.is_corrupt
                for frame in packet.decode():
                    matrix = matrix if times else display_matrix(frame)
                    times.append(frame.pts)
                    sizes[frame.height, frame.width] += 1
                    corrupt += frame.is_corrupt
        except av.FFmpegError as error:
            reason = error.strerror or str(error)
        if not times and not reason:
            raise VideoError(f"{path} has no frame that can be decoded")
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = container.duration / av.time_base if container.duration else 0.0
        return DecodedFile(
            times=times,
            sizes=sizes,
            corrupt_frames=corrupt,
            matrix=matrix,
            corrupt_packets=corrupt_packets,
            error=reason,
            messages=messages,
            seconds=seconds,
            header_frames=stream.frames,
            rate=float(stream.average_rate or stream.guessed_rate or 0),
            codec=stream.codec_context.codec.canonical_name,
            container=container.format.name,
            b_frames=bool(stream.codec_context.has_b_frames),
            time_step=float(stream.time_base) if stream.time_base else 0.0,
            only_stream=len(container.streams) == 1,
        )


def read_packets(path: Path) -> tuple[int, int, PacketIndex | None]:
    """Number of packets of the video, number of packets that an edit list hides, and the packet index."""
    count = hidden = 0
    try:
        with open_video(str(path)) as (container, stream):
            for packet in demux(container, stream):
                count += packet.size > 0
                hidden += packet.is_discard
        with open_video(str(path)) as (container, stream):
            return count, hidden, read_packet_index(container, stream)
    except av.FFmpegError:
        return count, hidden, None


def known_times(times: list[int | None]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the frames that have a time, and their times."""
    known = [(position, time) for position, time in enumerate(times) if time is not None]
    positions, values = np.array(known, np.int64).reshape(-1, 2).T
    return positions, values


def time_steps(times: list[int | None]) -> np.ndarray:
    """Distances in time of neighboring frames; over frames without a time they are taken as equal."""
    positions, known = known_times(times)
    return np.diff(known) / np.diff(positions)
