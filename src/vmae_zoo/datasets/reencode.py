"""A copy of a data set that decodes fast from any place: short side 256, a keyframe every 16 frames.

Between them every eighth frame is a P-frame and the others are B-frames that nothing needs, so a reader of every fourth
frame decodes two in five. Entropy coding is CAVLC, without deblocking, in whole macroblocks.

Every file keeps its name, extension and all, so that ids, and lists that name files, stay right: what is inside is MP4,
which FFmpeg sees by itself. Everything that is no video (split files, labels) is copied. Every copy is compared with
its source before it takes its name: as many frames, upright, and close in brightness in every 8th of them.
"""

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import as_completed
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vmae_zoo.datasets.layouts.base import is_video, list_videos
from vmae_zoo.datasets.process_pool import file_workers
from vmae_zoo.video.decode import VideoError, opened, probe, read_clip
from vmae_zoo.video.frame_conversion import BRIGHTNESS, display_matrix, to_pixels

GOP = 16  # frames from keyframe to keyframe
SPARE = 7  # frames in a row that no other frame needs
MIN_PSNR = 28.0  # dB of the brightness, over all compared frames of a video, at the copy's size
COMPARED = 8  # every so many frames


def reencode_file(source: Path, target: Path, short_side: int = 256, crf: int = 22) -> str:
    """Write one copy; it takes its name when it is whole and proved.

    Returns:
        "" where it was written, otherwise why not.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        side = min(short_side, probe(source).height, probe(source).width)  # never larger than the source
        target.parent.mkdir(parents=True, exist_ok=True)
        written = _encode(source, partial, side, crf)
        reason = _differs(source, partial, written, side)
        if reason:
            return reason
        partial.replace(target)
        return ""
    except (VideoError, av.FFmpegError, OSError) as error:
        return str(error)
    finally:
        partial.unlink(missing_ok=True)


def _encode(source: Path, partial: Path, side: int, crf: int) -> int:
    options = {"preset": "fast", "tune": "fastdecode", "crf": str(crf), "threads": "1"}
    fixed = {"g": str(GOP), "keyint_min": str(GOP), "sc_threshold": "0", "bf": str(SPARE), "b_strategy": "0"}
    plain = {"b-pyramid": "none", "partitions": "none"}
    matrix, stream, count, converter = None, None, 0, VideoReformatter()
    with (
        opened(str(source)) as (old, video),
        av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as new,
    ):
        rate = video.average_rate or video.guessed_rate or 25
        for frame in old.decode(video):
            if stream is None:
                matrix = display_matrix(frame)
            pixels = to_pixels(frame, side, matrix)
            pixels = np.ascontiguousarray(pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2])
            if stream is None:
                stream = new.add_stream("libx264", rate=rate, options={**options, **fixed, **plain})
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
            even = av.VideoFrame.from_ndarray(pixels, "rgb24")
            new.mux(stream.encode(converter.reformat(even, format="yuv420p", threads=1)))
            count += 1
        if stream is None:
            raise VideoError(f"{source} has no frame that can be decoded")
        new.mux(stream.encode(None))
    return count


def _differs(source: Path, copy: Path, written: int, side: int) -> str:
    """Why a copy cannot stand for its source; "" where it can."""
    frames = probe(source).frames
    if not frames == written == probe(copy).frames:
        return f"{source} has {frames} frames, its copy {probe(copy).frames}: it may be damaged"
    error, values = 0.0, 0
    for first in range(0, frames, 16 * COMPARED):  # a few at a time: memory stays flat
        ids = range(first, min(first + 16 * COMPARED, frames), COMPARED)
        there = read_clip(copy, ids) @ BRIGHTNESS
        here = read_clip(source, ids, side)[:, : there.shape[1], : there.shape[2]] @ BRIGHTNESS
        error += float(((here - there) ** 2).sum())
        values += there.size
    psnr = 10 * np.log10(255**2 * values / max(error, 1e-9))
    return "" if psnr >= MIN_PSNR else f"{source}: its copy has a PSNR of {psnr:.1f} dB, less than {MIN_PSNR:.0f}"


def target_of(source_root: Path, target_root: Path, video: Path) -> Path:
    """Where the copy of a video lies."""
    return target_root / video.relative_to(source_root)


def jobs_of(source: Path, target: Path, part: int = 0, parts: int = 1) -> tuple[list[Path], int]:
    """Videos of a part whose copy is missing or older than they are, and how many are done.

    Raises:
        ValueError: there is no video.
    """
    videos = list_videos(source)
    if not videos:
        raise ValueError(f"{source} holds no videos: give the folder of the data set")
    videos = videos[part::parts]
    targets = [target_of(source, target, video) for video in videos]
    pairs = zip(targets, videos, strict=True)
    todo = [
        copy_of for copy, copy_of in pairs if not copy.exists() or copy.stat().st_mtime_ns < copy_of.stat().st_mtime_ns
    ]
    return todo, len(videos) - len(todo)


def copy_others(source: Path, target: Path) -> None:
    """Copy what is no video: split files, labels, lists."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not is_video(path) and not hidden:
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / relative)


def reencode(
    source: Path, target: Path, videos: list[Path], short_side: int, crf: int, workers: int
) -> Iterator[tuple[Path, str]]:
    """Copy videos in parallel: each with "" or the reason why it has no copy, as they come."""
    with file_workers(workers) as pool:
        futures = {
            pool.submit(reencode_file, video, target_of(source, target, video), short_side, crf): video
            for video in videos
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


def gain(source: Path, copy: Path, short_side: int, clips: int = 3) -> float:
    """How many times as fast 16 frames of the copy are read as those of the source; each pair shares its start."""
    spent = {source: 0.0, copy: 0.0}
    frames = probe(source).frames
    for clip in range(clips + 1):  # the first warms up
        start = max(frames - 64, 0) * clip // max(clips, 1)
        ids = np.minimum(start + 4 * np.arange(16), frames - 1)
        for path in spent:
            before = time.process_time()
            read_clip(path, ids, min(short_side, probe(path).height, probe(path).width))
            spent[path] += (time.process_time() - before) * (clip > 0)
    return spent[source] / max(spent[copy], 1e-9)
