"""Verdicts of `vmae-zoo index` on healthy files of every container that the installed FFmpeg writes.

    python -m benchmarks.containers [RESULTS.json]

Each file has 60 frames of 176 x 144 pixels: at a constant or a variable rate, from a first time of 10 s, beside a
smaller preview stream, or with a display matrix (of the container, or of the H.264 stream). What is right follows from
the times that FFmpeg itself reads back, because not every container stores every time. The exit code is 1 if a healthy
file is called damaged, frames are miscounted, turned wrongly or read from the preview, or a rate is called wrong.
"""

import json
import struct
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition
from tqdm import tqdm

from vmae_zoo.datasets.audit import audit
from vmae_zoo.video.decode import probe, read_clip
from vmae_zoo.video.frame_conversion import display_matrix

FRAMES, HEIGHT, WIDTH = 60, 144, 176
CODECS = (
    "libx264", "libvpx", "libvpx-vp9", "mpeg2video", "mpeg4", "msmpeg4v3", "h263", "flv1", "wmv2", "mjpeg", "ffv1",
    "dvvideo", "gif", "rv10", "rawvideo",
)  # fmt: skip
SIZES = {"dvvideo": (576, 720)}  # of encoders that have no other
CONSTANT = [40 * k for k in range(FRAMES)]
KINDS = {  # times of the frames in milliseconds
    "constant rate": CONSTANT,
    "variable rate": [*CONSTANT[:30], *(1200 + 280 * k for k in range(30))],
    "starts at 10 s": [10_000 + time for time in CONSTANT],
    "second stream is the default": CONSTANT,
    "rotated": CONSTANT,
    "flipped": CONSTANT,
}
MATRICES = {"rotated": (0, 1 << 16, -1 << 16, 0), "flipped": (1 << 16, 0, 0, -1 << 16)}
NOT_FILES = (
    "rtp",
    "rtp_mpegts",
    "crc",
    "framecrc",
    "framehash",
    "framemd5",
    "hash",
    "md5",
    "streamhash",
    "uncodedframecrc",
    "data",
)


class Row(NamedTuple):
    """The verdict on one file."""

    container: str
    codec: str
    kind: str
    verdict: str
    right: bool


def containers() -> list[tuple[str, str]]:
    """Name and extension of the formats that FFmpeg writes into one file."""
    found = []
    for name in sorted(av.formats_available - set(NOT_FILES)):
        try:
            form = av.ContainerFormat(name, "w")
        except ValueError:
            continue
        if not form.no_file:
            extensions = sorted(form.extensions)
            found.append((name, name if name in extensions or not extensions else extensions[-1]))
    return found


def write(path: Path, container_name: str, codec: str, kind: str, per_second: int) -> None:
    """Write a file of a kind; `FFmpegError`, `ValueError` or `OSError` if the container cannot hold it."""
    with av.open(str(path), "w", format=container_name) as container:
        streams: list[av.VideoStream] = []
        height, width = SIZES.get(codec, (HEIGHT, WIDTH))
        for scale in (2, 1) if kind == "second stream is the default" else (1,):
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width = height // scale // 2 * 2, width // scale
            stream.pix_fmt = (av.Codec(codec, "w").video_formats or [av.VideoFormat("yuv420p")])[0].name
            stream.codec_context.time_base = Fraction(1, per_second)
            streams.append(stream)
        if len(streams) > 1:
            streams[0].disposition, streams[1].disposition = Disposition(0), Disposition.default
        for number, time in enumerate([*KINDS[kind], None]):
            for stream in streams:
                container.mux(stream.encode(None if time is None else _frame(stream, number, time, per_second)))
    if kind in MATRICES:
        data = bytearray(path.read_bytes())
        start = data.index(b"tkhd") + 44
        a, b, c, d = MATRICES[kind]
        data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)


def _frame(stream: av.VideoStream, number: int, time: int, per_second: int) -> av.VideoFrame:
    pixels = np.full((stream.height, stream.width, 3), 4 * number, np.uint8)
    pixels[:, : 2 * number + 2] = 255 - 4 * number
    pixels[: stream.height // 2, :, 2] = 200  # blue on top
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    frame.pts, frame.time_base = time * per_second // 1000, Fraction(1, per_second)
    return frame


def read_back(path: Path, kind: str) -> list[int] | None:
    """Times (ms) of the frames as FFmpeg decodes them; None if it does not find the stream that was written."""
    with av.open(str(path)) as container:
        videos = container.streams.video
        if not videos or any(video.codec_context is None for video in videos):
            return None
        if kind == "second stream is the default" and not (
            len(videos) == 2 and videos[1].disposition & Disposition.default
        ):
            return None  # the container does not store which stream is the default
        frames = list(container.decode(videos[-1]))
        if any(frame.is_corrupt for frame in frames) or (kind in MATRICES and display_matrix(frames[0]) is None):
            return None  # FFmpeg does not read what it wrote
        return [-1 if frame.pts is None else round(frame.time * 1000) for frame in frames]


def check(path: Path, kind: str, codec: str, times: list[int]) -> tuple[str, bool]:
    """The verdict on a file, and whether it is right."""
    found = audit(path)
    verdict = " ".join([found.verdict, *([f"({'; '.join(found.reasons)})"] if found.reasons else [])])
    if found.info is None:
        return verdict, False
    size = SIZES.get(codec, (HEIGHT, WIDTH))
    right = found.verdict in ("good", "odd")
    right &= (found.info.height, found.info.width) == (size[::-1] if kind == "rotated" else size)
    right &= found.info.frames == len(times) == probe(path).frames
    gaps = np.diff(np.sort(times))
    # MPEG-2 has a fixed rate in MPEG streams: a gap is a loss
    if "a gap in time" in verdict and codec == "mpeg2video" and kind == "variable rate":
        return verdict, True
    if min(times) >= 0 and "B-frames in AVI" not in verdict:
        is_variable = bool(gaps.max() > 2.5 * np.median(gaps))
        right &= ("variable frame rate" in found.reasons) == is_variable and found.info.constant_rate != is_variable
    if kind == "flipped":
        top, bottom = (read_clip(path, [20])[0, rows, :, 2].mean() for rows in (slice(2, 20), slice(-20, -2)))
        right &= bool(bottom > top)
    return verdict, right


def rows(folder: Path) -> Iterator[Row]:
    """Every file that can be written."""
    for name, extension in tqdm(containers(), disable=None):
        for codec in CODECS:
            for kind in KINDS:
                path = folder / f"clip.{extension}"
                written = any(_written(path, name, codec, kind, per_second) for per_second in (1000, 25))
                if not written and kind == "constant rate":
                    break  # not in this container
                if not written:
                    continue
                try:
                    times = read_back(path, kind)
                except (FFmpegError, IndexError):
                    times = None
                if not times:
                    yield Row(name, codec, kind, "not read back by FFmpeg", True)
                    continue
                yield Row(name, codec, kind, *check(path, kind, codec, times))


def _written(path: Path, *about: str | int) -> bool:
    path.unlink(missing_ok=True)
    try:
        write(path, *about)  # type: ignore[arg-type]
    except (FFmpegError, ValueError, OSError, OverflowError):
        return False
    return path.stat().st_size > 0


def main() -> int:
    """Print a table of verdicts: for each container and kind, how often each occurs."""
    av.logging.set_level(None)
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for row in rows(Path(folder)):
            found.append(row)
            if sys.argv[1:]:
                Path(sys.argv[1]).write_text(json.dumps([row._asdict() for row in found], indent=0) + "\n")
    print(f"| container | {' | '.join(KINDS)} |", "|---" * (1 + len(KINDS)) + "|", sep="\n")
    for name in dict.fromkeys(row.container for row in found):
        cells = []
        for kind in KINDS:
            verdicts = [row.verdict for row in found if (row.container, row.kind) == (name, kind)]
            cells.append(", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts))))
        print(f"| {name} | {' | '.join(cells)} |")
    wrong = [row for row in found if not row.right]
    print(f"{len(found)} files in {len({row.container for row in found})} containers, {len(wrong)} wrong verdicts")
    print(*(f"wrong: {' '.join(map(str, row))}" for row in wrong), sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
