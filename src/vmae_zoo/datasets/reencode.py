"""A re-encoded copy of a data set that decodes quickly from any position.

Short side 256, a keyframe every 16 frames; between keyframes every eighth frame is a P-frame and the others are
disposable B-frames, so a clip of every fourth frame decodes two frames in five. CAVLC entropy coding, no deblocking,
no macroblock partitions.

Every file keeps its name and extension, so that ids and list files stay valid; the content is MP4, which FFmpeg
detects by itself. All other files (split files, labels) are copied. Every copy is compared with its source before it
gets its name: same number of frames at the same times, upright, and similar luma in every 8th frame.
"""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vmae_zoo.atomic_write import atomic_write
from vmae_zoo.datasets.copy_check import describe_difference
from vmae_zoo.datasets.process_pool import CRASHED, as_finished
from vmae_zoo.datasets.scan import is_video, list_videos
from vmae_zoo.video.container import decode_all, open_video
from vmae_zoo.video.decode import VideoError, frame_times, probe, read_clip
from vmae_zoo.video.frame_conversion import display_matrix, to_rgb

GOP = 16  # distance of keyframes in frames
B_FRAMES = 7  # consecutive disposable frames
COMPARE_EVERY = 8  # frames
TICKS_PER_SECOND = 90_000


def reencode_file(source: Path, target: Path, short_side: int = 256, crf: int = 22) -> str:
    """Write one copy; it appears under its name once it is complete and equals its source.

    Returns:
        "" on success, otherwise the reason why there is no copy.
    """
    try:
        side = min(short_side, probe(source).height, probe(source).width)  # never larger than the source
        with atomic_write(target) as partial:
            _check(source, partial, _encode(source, partial, side, crf), side)
        return ""
    except (VideoError, av.FFmpegError, OSError) as error:
        return str(error)


def _encode(source: Path, partial: Path, side: int, crf: int) -> int:
    """Encode a copy; returns its number of frames."""
    options = {"preset": "fast", "tune": "fastdecode", "crf": str(crf), "threads": "1"}
    structure = {"g": str(GOP), "keyint_min": str(GOP), "sc_threshold": "0", "bf": str(B_FRAMES), "b_strategy": "0"}
    simple = {"b-pyramid": "none", "partitions": "none"}
    matrix, stream, ticks, converter = None, None, _ticks(source), VideoReformatter()
    with (
        open_video(str(source)) as (old, video),
        av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as new,
    ):
        rate = video.average_rate or video.guessed_rate or 25
        for number, frame in decode_all(old, video, str(source)):
            if stream is None:
                matrix = display_matrix(frame)
            pixels = to_rgb(frame, side, matrix)
            pixels = np.ascontiguousarray(pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2])
            if stream is None:
                stream = new.add_stream("libx264", rate=rate, options={**options, **structure, **simple})
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
                if ticks is not None:
                    stream.codec_context.time_base = Fraction(1, TICKS_PER_SECOND)
            even = av.VideoFrame.from_ndarray(pixels, "rgb24")
            if ticks is not None:
                even.pts, even.time_base = int(ticks[number]), Fraction(1, TICKS_PER_SECOND)
            new.mux(stream.encode(converter.reformat(even, format="yuv420p", threads=1)))
        assert stream is not None
        new.mux(stream.encode(None))
    return number + 1


def _ticks(source: Path) -> np.ndarray | None:
    """Increasing times of the frames of a variable rate; None for a constant one."""
    if probe(source).constant_rate:
        return None
    ticks, order = (frame_times(source) * TICKS_PER_SECOND).round().astype(np.int64), np.arange(probe(source).frames)
    return np.maximum.accumulate(ticks - order) + order  # equal times follow each other by one tick


def _check(source: Path, copy: Path, written: int, side: int) -> None:
    """`VideoError` if a copy differs from its source."""
    frames = probe(source).frames
    if not frames == written == probe(copy).frames:
        raise VideoError(f"{source} has {frames} frames, its copy {probe(copy).frames}: it may be damaged")
    if not probe(source).constant_rate and not np.allclose(frame_times(source), frame_times(copy), atol=0.002):
        raise VideoError(f"{source}: its copy has other times")

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first in range(0, frames, 16 * COMPARE_EVERY):  # 16 frames at a time bound the memory
            ids = range(first, min(first + 16 * COMPARE_EVERY, frames), COMPARE_EVERY)
            copied = read_clip(copy, ids)
            yield copied, read_clip(source, ids, side)[:, : copied.shape[1], : copied.shape[2]]

    if difference := describe_difference(pairs()):
        raise VideoError(f"{source}: {difference}")


def target_of(source_root: Path, target_root: Path, video: Path) -> Path:
    """Path of the copy of a video."""
    return target_root / video.relative_to(source_root)


def pending_videos(source: Path, target: Path, part: int = 0, parts: int = 1) -> tuple[list[Path], int]:
    """Videos of a part whose copy is missing or older, and the number that are done; ``ValueError`` without a video."""
    videos = list_videos(source)
    if not videos:
        raise ValueError(f"{source} has no videos: give the folder of the data set")
    videos = videos[part::parts]
    todo = []
    for video in videos:
        copy = target_of(source, target, video)
        if not copy.exists() or copy.stat().st_mtime_ns < video.stat().st_mtime_ns:
            todo.append(video)
    return todo, len(videos) - len(todo)


def copy_others(source: Path, target: Path) -> None:
    """Copy all files that are not videos: split files, labels, lists."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not is_video(path) and not hidden:
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / relative)


def reencode(
    source: Path, target: Path, videos: list[Path], short_side: int, crf: int, workers: int
) -> Iterator[tuple[Path, str]]:
    """Copy videos in parallel; yields each video with "" or the reason why it has no copy, as they finish."""
    jobs = ((video, target_of(source, target, video), short_side, crf) for video in videos)
    try:
        for (video, *_), future in as_finished(reencode_file, jobs, workers):
            yield video, future.result()
    except BrokenProcessPool:
        raise ValueError(CRASHED) from None


def speedup(source: Path, copy: Path, short_side: int, clips: int = 3) -> float:
    """CPU time to read 16 frames of the source divided by that of the copy, over clips with the same starts."""
    spent = {source: 0.0, copy: 0.0}
    frames = probe(source).frames
    for clip in range(clips + 1):  # the first one warms up
        start = max(frames - 64, 0) * clip // max(clips, 1)
        ids = np.minimum(start + 4 * np.arange(16), frames - 1)
        for path in spent:
            before = time.process_time()
            read_clip(path, ids, min(short_side, probe(path).height, probe(path).width))
            spent[path] += (time.process_time() - before) * (clip > 0)
    return spent[source] / max(spent[copy], 1e-9)
