"""Audit of one video file: decode all of it and report what is wrong or unusual."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmae_zoo.datasets.full_decode import DecodedFile, decode_file, known_times, read_packets, time_steps
from vmae_zoo.video.decode import VideoError, VideoInfo
from vmae_zoo.video.ffmpeg_log import capture_damage, truncated_avi_frames
from vmae_zoo.video.frame_conversion import is_mirrored, rotation_of, swaps_axes
from vmae_zoo.video.packet_index import PacketIndex
from vmae_zoo.video.timing import frame_rate, sorted_times

FORMATS = {".avi": "avi", ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "matroska"}


@dataclass(frozen=True)
class AuditResult:
    """What an audit found in one file.

    Args:
        size: bytes of the file.
        mtime_ns: time of its last modification.
        digest: BLAKE2b of its content, 128 bits in hexadecimal; "" if it cannot be read.
        verdict: "good"; "odd" (decodes correctly, but differs from its header or name, or decodes slowly); "concealed"
            (the decoder replaced missing pixels or frames); or "damaged" (some frame cannot be decoded).
        reasons: reasons for the verdict; details in parentheses.
        info: metadata; None if nothing can be decoded.
        duration: seconds, by the header; 0 if it states none.
        packet_index: checked against the decoded frames; None if the packets do not determine them.
    """

    size: int
    mtime_ns: int
    digest: str
    verdict: str
    reasons: tuple[str, ...]
    info: VideoInfo | None = None
    duration: float = 0.0
    packet_index: PacketIndex | None = None


def audit(file: str | Path) -> AuditResult:
    """Read and decode one file from start to end; all errors are in the result."""
    path = Path(file)
    size, mtime_ns, digest = 0, 0, ""
    try:
        status = path.stat()
        size, mtime_ns = status.st_size, status.st_mtime_ns
        if not stat.S_ISREG(status.st_mode):
            raise VideoError(f"{path} is not a regular file")
        digest = _digest(path)
        if not size:
            raise VideoError(f"{path} is empty (0 bytes)")
        return _audit_content(path, size, mtime_ns, digest)
    except (VideoError, OSError) as error:
        reason = str(error).removeprefix(f"{path} ")
        return AuditResult(size, mtime_ns, digest, "damaged", (reason,))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _audit_content(path: Path, size: int, mtime_ns: int, digest: str) -> AuditResult:
    found = decode_file(path)
    with capture_damage():
        packets, hidden, index = read_packets(path)
    incomplete = packets < _expected_packets(path, found) - 2
    damaged, concealed = _damage(found, packets if incomplete else None, index), _concealment(found)
    shown = None if index is None else index.times.tolist()
    if damaged or concealed or shown != found.times:
        index = None
    times = sorted_times(found.times, found.container, found.b_frames) if index is None else index.times
    fps, constant = frame_rate(times, found.time_step, found.rate)
    odd = _oddities(path, found, hidden, incomplete, constant)
    info = None
    if found.times:
        height, width = next(iter(found.sizes))
        if swaps_axes(found.matrix):
            height, width = width, height
        frames, rotation = len(found.times), rotation_of(found.matrix)
        step = 0.0 if times is None else found.time_step
        info = VideoInfo(frames, height, width, fps, found.codec, rotation, index is not None, constant, step)
    verdict = "damaged" if damaged else "concealed" if concealed else "odd" if odd else "good"
    reasons = (*damaged, *concealed, *odd)
    return AuditResult(size, mtime_ns, digest, verdict, reasons, info, found.seconds, index)


def _expected_packets(path: Path, found: DecodedFile) -> float:
    """Smallest number of packets of a complete file; headers may count a few more."""
    return truncated_avi_frames(str(path)) if found.container == "avi" else found.header_frames * 0.95


def _damage(found: DecodedFile, packets: int | None, index: PacketIndex | None) -> list[str]:
    """Reasons to call a file damaged; ``packets`` is their number if packets are missing."""
    frames, reasons = len(found.times), []
    if found.error:
        reasons.append(f"decoding stops (after {frames} frames: {found.error})")
    if lost := _lost(found.times, index):
        reasons.append(f"frames are lost ({lost} of {lost + frames})")
    if len(found.sizes) > 1:
        reasons.append(f"the frame size changes ({len(found.sizes)} sizes)")
    if packets is not None:
        reasons.append(f"the file ends early ({packets} of {found.header_frames} packets are there)")
    elif not found.header_frames and found.only_stream and _ends_early(found):
        reasons.append(f"the file ends early ({found.seconds:.1f} s are stated)")
    if found.fixed_rate and _gap(found.times):
        reasons.append("frames are lost (a gap in time)")
    return reasons


def _ends_early(found: DecodedFile) -> bool:
    """Whether the last frame is well before the end that the header states, counted from 0 or from the first frame."""
    times = np.sort(known_times(found.times)[1]) * found.time_step
    if len(times) < 2 or not found.time_step:
        return False
    reach = max(times[-1], times[-1] - times[0]) + np.diff(times).max()  # the last frame may last as long as any
    return bool(reach < 0.9 * found.seconds - 2 * np.median(np.diff(times)))


def _concealment(found: DecodedFile) -> list[str]:
    """Reasons to say that the decoder concealed damage."""
    if found.corrupt_frames:
        return [f"concealed frames ({found.corrupt_frames} of {len(found.times)} are made up in part)"]
    if found.corrupt_packets:
        return [f"concealed frames ({found.corrupt_packets} packets are damaged or follow a loss)"]
    return [f"concealed frames (FFmpeg: {found.messages[0]})"] if found.messages else []


def _oddities(path: Path, found: DecodedFile, hidden: int, incomplete: bool, constant: bool) -> list[str]:
    """What is unusual about a file, which may decode correctly."""
    frames, reasons = len(found.times), []
    if not incomplete and found.header_frames and found.header_frames != frames:
        reasons.append(f"the header counts other frames ({found.header_frames}, decoded {frames})")
    if hidden:
        reasons.append(f"an edit list hides frames ({hidden})")
    if found.container == "avi" and found.b_frames:
        reasons.append("B-frames in AVI (no presentation times: read from the start)")
    elif not constant:
        reasons.append("variable frame rate")
    if rotation := rotation_of(found.matrix):
        nearest = "" if rotation % 90 == 0 else f", read as {round(rotation / 90) * 90}"
        reasons.append(f"display rotation ({rotation} degrees{nearest})")
    if is_mirrored(found.matrix):
        reasons.append("display mirror")
    expected = FORMATS.get(path.suffix.lower())
    if expected and expected not in found.container.split(","):
        reasons.append(f"wrong extension ({path.suffix} holds {found.container.split(',')[0]})")
    return reasons


def _lost(times: list[int | None], index: PacketIndex | None) -> int:
    """Number of indexed frames after the first decoded one that the decoder did not output."""
    known = known_times(times)[1]
    if index is None or not known.size:
        return 0
    return int((~np.isin(index.times[index.times > known[0]], known)).sum())


def _gap(times: list[int | None]) -> bool:
    """Whether frames at a fixed rate have a gap in time and take longer than their number at that rate."""
    gaps = time_steps(times)
    if not gaps.size:
        return False
    (positions, known), step = known_times(times), np.median(gaps)
    longer = np.ptp(known) - np.ptp(positions) * step
    return bool(gaps.max() > 2.5 * step and longer > 0.5 * step)
