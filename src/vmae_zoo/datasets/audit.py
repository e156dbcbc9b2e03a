"""What is in one video file, found by decoding all of it once."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from vmae_zoo.video.decode import VideoError, VideoInfo, opened
from vmae_zoo.video.ffmpeg_log import capture_damage, truncated_avi_frames
from vmae_zoo.video.packet_index import PacketIndex, read_timeline

FORMATS = {".avi": "avi", ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "matroska"}


@dataclass(frozen=True)
class AuditResult:
    """What one file holds.

    Args:
        size: of the file in bytes.
        mtime_ns: time of its last change.
        digest: BLAKE2b of its content, 128 bits in hexadecimal; "" where it could not be read.
        verdict: "good"; "odd" (reads right, but not as its header or name says, or slowly); "concealed" (the decoder
            made up pixels or frames, and carried on); or "damaged" (some frame cannot be had at all).
        reasons: why; details in brackets.
        info: None where nothing decodes.
        duration: seconds, by the header; 0 where it does not say.
        timeline: where its frames lie, checked against the decoded ones; None where the packets do not tell.
    """

    size: int
    mtime_ns: int
    digest: str
    verdict: str
    reasons: tuple[str, ...]
    info: VideoInfo | None = None
    duration: float = 0.0
    timeline: PacketIndex | None = None


def audit(path: Path) -> AuditResult:
    """Read one file from end to end; whatever is wrong with it is in the finding."""
    size, mtime_ns, digest = 0, 0, ""
    try:
        status = path.stat()
        size, mtime_ns = status.st_size, status.st_mtime_ns
        digest = _digest(path)
        if not size:
            raise VideoError(f"{path} is empty (0 bytes)")
        return _decoded(path, size, mtime_ns, digest)
    except (VideoError, OSError) as error:
        reason = str(error).removeprefix(f"{path} ")
        return AuditResult(size, mtime_ns, digest, "damaged", (reason,))


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _decoded(path: Path, size: int, mtime_ns: int, digest: str) -> AuditResult:
    odd: list[str] = []
    concealed: list[str] = []
    damaged: list[str] = []
    with capture_damage() as complaints, opened(str(path)) as (container, stream):
        times: list[int | None] = []
        sizes: Counter[tuple[int, int]] = Counter()
        corrupt = 0
        rotation = 0
        try:
            for frame in container.decode(stream):
                rotation = rotation if times else frame.rotation
                times.append(frame.pts)
                sizes[frame.height, frame.width] += 1
                corrupt += frame.is_corrupt
        except av.FFmpegError as error:
            damaged.append(f"decoding stops (after {len(times)} frames: {error.strerror})")
        if not times and not damaged:
            raise VideoError(f"{path} has no frame that can be decoded")
        seconds = _seconds(container, stream)
        header, rate = stream.frames, float(stream.average_rate or stream.guessed_rate or 0)
        codec, container_name = stream.codec_context.codec.canonical_name, container.format.name
        reordered = container_name == "avi" and stream.codec_context.has_b_frames
        step = float(stream.time_base) if stream.time_base else 0.0
        alone = len(container.streams) == 1
    with capture_damage():
        packets, hidden, timeline = _packets(path)
    lost = _lost(times, timeline)
    if corrupt:
        concealed.append(f"concealed frames ({corrupt} of {len(times)} are made up in part)")
    elif complaints:
        concealed.append(f"concealed frames (FFmpeg: {complaints[0]})")
    if lost:
        damaged.append(f"frames are lost ({lost} of {lost + len(times)})")
    if len(sizes) > 1:
        damaged.append(f"the frame size changes ({len(sizes)} sizes)")
    expected_packets = truncated_avi_frames(str(path)) if container_name == "avi" else header * 0.95
    if packets < expected_packets - 2:
        damaged.append(f"the file ends early ({packets} of {header} packets are there)")
    elif header and header != len(times):
        odd.append(f"the header counts other frames ({header}, decoded {len(times)})")
    elif not header and alone and rate and len(times) < 0.9 * seconds * rate - 2:
        damaged.append(f"the file ends early ({len(times)} frames of {seconds:.1f} s at {rate:.4g} a second)")
    if hidden:
        odd.append(f"an edit list hides frames ({hidden})")
    if reordered:
        odd.append("B-frames in AVI (no presentation times: read from the start)")
    elif _uneven(times, step):
        gap = container_name.startswith("mpeg") and _gap(times)  # whose rate is fixed
        (damaged if gap else odd).append("frames are lost (a gap in time)" if gap else "variable frame rate")
    if rotation:
        odd.append(f"display rotation ({rotation} degrees)")
    expected = FORMATS.get(path.suffix.lower())
    if expected and expected not in container_name.split(","):
        odd.append(f"wrong extension ({path.suffix} holds {container_name.split(',')[0]})")
    shown = None if timeline is None else timeline.times.tolist()
    if damaged or concealed or shown != times:
        timeline = None
    info = None
    if times:
        height, width = next(iter(sizes))
        if rotation % 180:
            height, width = width, height
        info = VideoInfo(len(times), height, width, rate, codec, rotation, timeline is not None)
    verdict = "damaged" if damaged else "concealed" if concealed else "odd" if odd else "good"
    return AuditResult(size, mtime_ns, digest, verdict, (*damaged, *concealed, *odd), info, seconds, timeline)


def _seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def _packets(path: Path) -> tuple[int, int, PacketIndex | None]:
    """Packets of the video, how many of them are not to be shown, and where its frames lie."""
    count = hidden = 0
    try:
        with opened(str(path)) as (container, stream):
            for packet in container.demux(stream):
                count += packet.size > 0
                hidden += packet.is_discard
        with opened(str(path)) as (container, stream):
            return count, hidden, read_timeline(container, stream)
    except av.FFmpegError:
        return count, hidden, None


def _lost(times: list[int | None], timeline: PacketIndex | None) -> int:
    """Frames that the packets promise and the decoder left out; not those before its first."""
    known = [time for time in times if time is not None]
    if timeline is None or not known:
        return 0
    return int((~np.isin(timeline.times[timeline.times > known[0]], known)).sum())


def _gap(times: list[int | None]) -> bool:
    gaps = np.diff([time for time in times if time is not None])
    return bool(gaps.max() > 2.5 * np.median(gaps))


def _uneven(times: list[int | None], step: float) -> bool:
    """Whether frames follow each other at uneven distances, more than a container's rounding explains."""
    known = np.array([time for time in times if time is not None])
    if len(known) < 3:
        return False
    gaps = np.diff(known)
    allowed = max(2, 0.1 * float(np.median(gaps)), 0.0015 / step if step else 0)
    return bool(gaps.max() - gaps.min() > allowed)
