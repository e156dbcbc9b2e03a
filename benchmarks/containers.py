"""Verdicts of `vmae-zoo index` on healthy files of every container that FFmpeg writes.

    python -m benchmarks.containers

Each file has 60 frames of 64 x 48 pixels: at a constant or a variable rate, from a first time of 10 s, beside a smaller
preview stream, or with a display matrix. The exit code is 1 if a healthy file is called damaged, frames are miscounted,
or a variable rate is not found.
"""

import struct
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition

from vmae_zoo.datasets.audit import audit
from vmae_zoo.datasets.layouts import EXTENSIONS
from vmae_zoo.video.decode import probe

FRAMES, HEIGHT, WIDTH = 60, 48, 64
CODECS = ("libx264", "libvpx", "mpeg4", "mpeg2video", "msmpeg4v3", "h263", "flv1", "wmv2", "libtheora")
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


def write(path: Path, codec: str, kind: str) -> None:
    """Write a file of a kind; `FFmpegError`, `ValueError` or `OSError` if the container cannot hold it."""
    with av.open(str(path), "w") as container:
        streams: list[av.VideoStream] = []
        for scale in (2, 1) if kind == "second stream is the default" else (1,):
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width, stream.pix_fmt = HEIGHT // scale // 2 * 2, WIDTH // scale, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            streams.append(stream)
        if len(streams) > 1:
            streams[0].disposition, streams[1].disposition = Disposition(0), Disposition.default
        for number, time in enumerate(KINDS[kind]):
            for stream in streams:
                pixels = np.full((stream.height, stream.width, 3), 4 * number, np.uint8)
                pixels[:, : number + 1] = 255 - 4 * number
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    if kind in MATRICES:
        data = bytearray(path.read_bytes())
        start = data.index(b"tkhd") + 44
        a, b, c, d = MATRICES[kind]
        data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)


def check(path: Path, kind: str) -> tuple[str, bool]:
    """The verdict on a file, and whether it is right."""
    with av.open(str(path)) as container:
        videos = container.streams.video
        if not videos:
            return "", True  # FFmpeg writes it, and does not find the stream again
        if kind == "second stream is the default" and not videos[-1].disposition & Disposition.default:
            return "", True  # the container does not store which stream is the default
    found = audit(path)
    verdict = " ".join([found.verdict, *([f"({'; '.join(found.reasons)})"] if found.reasons else [])])
    if found.info is None:
        return verdict, False
    height, width = (WIDTH, HEIGHT) if kind == "rotated" else (HEIGHT, WIDTH)
    right = found.verdict in ("good", "odd") and (found.info.height, found.info.width) == (height, width)
    right &= found.info.frames == FRAMES and probe(path).frames == FRAMES
    if kind == "variable rate" and found.info.time_step:
        right &= "variable frame rate" in found.reasons
    if kind in ("constant rate", "starts at 10 s"):
        right &= "variable frame rate" not in found.reasons
    return verdict if right else f"**{verdict}, {found.info.frames} frames**", right


def main() -> int:
    """Print a table of verdicts."""
    av.logging.set_level(None)
    print(f"| container | codec | {' | '.join(KINDS)} |", "|---" * (2 + len(KINDS)) + "|", sep="\n")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for extension in EXTENSIONS:
            for codec in CODECS:
                path, cells = Path(folder) / f"clip{extension}", []
                for kind in KINDS:
                    try:
                        path.unlink(missing_ok=True)
                        write(path, codec, kind)
                    except (FFmpegError, ValueError, OSError):
                        cells.append("")
                        continue
                    verdict, right = check(path, kind)
                    wrong += not right
                    cells.append(verdict)
                if any(cells):
                    print(f"| {extension[1:]} | {codec} | {' | '.join(cells)} |", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
