"""Making a cache: one shard at a time, each by one process of any machine, and the list of records when all are there.

A shard is a tar file that the `webdataset` library reads: of each video ``<key>.json`` and ``<key>.000000.jpg`` and so
on. Beside it lies ``shard-000000.json``, where each of its videos begins; it is written last, so a shard that has one
is whole.
"""

import hashlib
import io
import json
import os
import platform
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from vmae_zoo.datasets.jpeg_shards.shard_plan import Plan, fields, read_shard_meta, shard_name
from vmae_zoo.datasets.layouts.jpeg_shards import FORMAT, LIST
from vmae_zoo.datasets.process_pool import file_workers
from vmae_zoo.video.decode import VideoError, opened, probe
from vmae_zoo.video.frame_conversion import BRIGHTNESS, display_matrix, to_pixels
from vmae_zoo.video.jpeg_shards import BLOCK, Place, header_of, jpeg, padded, read_frames
from vmae_zoo.video.storage import is_remote, move, write

MIN_PSNR = 28.0  # dB of the brightness, over the compared frames of a video
COMPARED = 32  # every so many frames


def make_shards(plan: Plan, target: Path, shards: list[int], workers: int) -> Iterator[tuple[int, dict[str, str]]]:
    """Make shards in parallel: each, as they come, with the videos that are not in it and why."""
    clips, settings = plan.clips(), (target, plan.short_side, plan.quality, plan.digest)
    jobs = [(shard, plan.of(shard), {name: clips[name] for name, _ in plan.of(shard)}, *settings) for shard in shards]
    if workers == 1:
        yield from ((job[0], make_shard(*job)) for job in jobs)
        return
    with file_workers(workers) as pool:
        futures = {pool.submit(make_shard, *job): job[0] for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise ValueError(
                "a process died while it read a video: run `vmae-zoo index` on the source, which finds it"
            ) from None


def make_shard(
    shard: int,
    videos: list[tuple[str, Path]],
    clips: dict[str, list[dict[str, Any]]],
    target: Path,
    short_side: int,
    quality: int,
    digest: str,
) -> dict[str, str]:
    """Write one shard, compare it with its sources, and give it its name; the videos left out, with reasons."""
    places: dict[str, list[int]] = {}
    failed: dict[str, str] = {}
    folder = Path(tempfile.gettempdir()) if is_remote(target) else target
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{shard_name(shard)}.{platform.node()}.{os.getpid()}.part.tar"
    try:
        with partial.open("w+b") as file:
            for name, path in videos:
                begin = file.tell()
                try:
                    head, blobs, kept = _encoded(path, short_side, quality)
                    key = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=12).hexdigest()
                    place = _add(file, partial, key, {"id": name, **head, "clips": clips[name]}, blobs)
                    _compare(place, name, kept)
                    places[name] = [place.offset, place.length]
                except (VideoError, av.FFmpegError) as error:
                    failed[name] = str(error)
                    file.seek(begin)
                    file.truncate()
            file.write(bytes(2 * BLOCK))
        move(partial, target / f"{shard_name(shard)}.tar")
    finally:
        partial.unlink(missing_ok=True)
    told = {"plan": digest, "videos": places, "failed": failed}
    write(target / f"{shard_name(shard)}.json", json.dumps(told).encode())
    return failed


def _encoded(path: Path, short_side: int, quality: int) -> tuple[dict[str, Any], list[bytes], dict[int, np.ndarray]]:
    """A video's size, its JPEGs, and some of its frames as they were."""
    info = probe(path)
    side = min(short_side, info.height, info.width)
    blobs: list[bytes] = []
    kept: dict[int, np.ndarray] = {}
    matrix, size = None, (0, 0)
    with opened(str(path)) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            if not number:
                matrix = display_matrix(frame)
            pixels = np.ascontiguousarray(to_pixels(frame, side, matrix))
            if number and pixels.shape[:2] != size:
                raise VideoError(f"{path} changes its frame size from {size} to {pixels.shape[:2]}")
            size = (pixels.shape[0], pixels.shape[1])
            blobs.append(jpeg(pixels, quality))
            if number % COMPARED == 0:
                kept[number] = pixels.copy()
    if len(blobs) != info.frames:
        raise VideoError(f"{path} has {info.frames} frames, of which {len(blobs)} were decoded: it may be damaged")
    head = {"frames": len(blobs), "height": size[0], "width": size[1], "fps": info.fps}
    return {**head, "sizes": [len(blob) for blob in blobs]}, blobs, kept


def _add(file: BinaryIO, partial: Path, key: str, head: dict[str, Any], blobs: list[bytes]) -> Place:
    """Append a video to a tar file."""
    text = json.dumps(head).encode()
    place = Place(partial, file.tell() + BLOCK, len(text))
    members = [(f"{key}.json", text), *((f"{key}.{number:06d}.jpg", blob) for number, blob in enumerate(blobs))]
    buffer = io.BytesIO()
    for name, data in members:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        buffer.write(member.tobuf(tarfile.USTAR_FORMAT))
        buffer.write(data)
        buffer.write(bytes(int(padded(len(data))) - len(data)))
    file.write(buffer.getbuffer())
    file.flush()
    return place


def _compare(place: Place, name: str, kept: dict[int, np.ndarray]) -> None:
    """Read some frames back, as training will; `VideoError` where they are not those of the source."""
    error = values = 0.0
    header_of.cache_clear()  # the place may have been that of a video that failed
    for number, pixels in kept.items():
        difference = read_frames(place, np.array([number]), None)[0] @ BRIGHTNESS - pixels @ BRIGHTNESS
        error += float(np.square(difference).sum())
        values += difference.size
    psnr = 10 * np.log10(255**2 * values / max(error, 1e-9))
    if psnr < MIN_PSNR:
        raise VideoError(f"{name}: its JPEGs have a PSNR of {psnr:.1f} dB, less than {MIN_PSNR:.0f}")


def join(plan: Plan, target: Path) -> dict[str, str]:
    """Write the list of records over all shards; the videos that are in none, with reasons."""
    places: dict[str, tuple[str, int, int]] = {}
    failed: dict[str, str] = {}
    for shard in range(plan.shards):
        told = read_shard_meta(target, shard)
        places.update({name: (f"{shard_name(shard)}.tar", *place) for name, place in told["videos"].items()})
        failed.update(told["failed"])
    name_of = {path: name for name, path in plan.videos}
    usual = plan.catalogs[0]
    head = {
        "format": FORMAT,
        "layout": usual.layout,
        "splits": [catalog.split for catalog in plan.catalogs],
        "classes": usual.classes,
        "short_side": plan.short_side,
        "quality": plan.quality,
        "left_out": len(failed),
    }
    lines = [json.dumps(head)]
    for catalog in plan.catalogs:
        for record in catalog.records:
            place = places.get(name_of[record.path])
            if place is not None:
                lines.append(json.dumps([catalog.split, fields(record), *place]))
    write(target / LIST, "\n".join([*lines, ""]).encode())
    return failed


def sweep(target: Path) -> None:
    """Remove what processes of this machine left half written when they were killed."""
    if is_remote(target):
        return
    for partial in target.glob(f".shard-*.{platform.node()}.*.part.tar"):
        try:
            os.kill(int(partial.name.split(".")[-3]), 0)  # asks whether it lives
        except ProcessLookupError:
            partial.unlink(missing_ok=True)
        except (ValueError, OSError):
            continue
