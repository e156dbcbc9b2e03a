"""Writing a cache: shards in any order, each by one process of any machine, then the manifest.

A shard is a tar file that the `webdataset` library can read: ``<key>.json`` and ``<key>.000000.jpg``, ... of each
video. Next to it is ``shard-000000.json`` with the positions of its videos, written last: a shard with that file is
complete.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from vmae_zoo.atomic_write import SUFFIX
from vmae_zoo.datasets.copy_check import describe_difference
from vmae_zoo.datasets.jpeg_shards.shard_plan import ShardPlan, read_shard_meta, record_fields, shard_name
from vmae_zoo.datasets.layouts.jpeg_shards import FORMAT, MANIFEST
from vmae_zoo.datasets.process_pool import CRASHED, as_finished
from vmae_zoo.run_lock import process_exists
from vmae_zoo.video.container import decode_all, open_video
from vmae_zoo.video.decode import VideoError, frame_times, probe
from vmae_zoo.video.frame_conversion import display_matrix, to_rgb
from vmae_zoo.video.jpeg_shards import BLOCK, ShardEntry, encode_jpeg, padded, read_frames, read_header
from vmae_zoo.video.storage import is_remote, write_file

COMPARE_EVERY = 32  # frames


def make_shards(plan: ShardPlan, target: Path, shards: list[int], workers: int) -> Iterator[tuple[int, dict[str, str]]]:
    """Write shards in parallel; yields each shard, as they finish, with the videos it lacks and the reasons."""
    clips, settings = plan.clips(), (target, plan.short_side, plan.quality, plan.digest)

    def job(shard: int) -> tuple[Any, ...]:
        videos = plan.videos_of(shard)
        return shard, videos, {name: clips[name] for name, _ in videos}, *settings

    if workers == 1:
        yield from ((shard, make_shard(*job(shard))) for shard in shards)
        return
    try:
        for (shard, *_), future in as_finished(make_shard, map(job, shards), workers):
            yield shard, future.result()
    except BrokenProcessPool:
        raise ValueError(CRASHED) from None


def make_shard(
    shard: int,
    videos: list[tuple[str, Path]],
    clips: dict[str, list[dict[str, Any]]],
    target: Path,
    short_side: int,
    quality: int,
    digest: str,
) -> dict[str, str]:
    """Write one shard and compare it with its sources; returns the ids of videos that were left out, with reasons."""
    entries: dict[str, list[int]] = {}
    failed: dict[str, str] = {}
    with write_file(target / f"{shard_name(shard)}.tar") as partial, partial.open("w+b") as file:
        for name, path in videos:
            begin = file.tell()
            try:
                head, blobs, kept = _encode(path, short_side, quality)
                key = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=12).hexdigest()
                entry = _append(file, partial, key, {"id": name, **head, "clips": clips[name]}, blobs)
                _check(entry, name, kept)
                entries[name] = [entry.offset, entry.length]
            except (VideoError, av.FFmpegError) as error:
                failed[name] = str(error)
                file.seek(begin)
                file.truncate()
        file.write(bytes(2 * BLOCK))
    with write_file(target / f"{shard_name(shard)}.json") as meta:
        meta.write_text(json.dumps({"plan": digest, "videos": entries, "failed": failed}))
    return failed


def _encode(path: Path, short_side: int, quality: int) -> tuple[dict[str, Any], list[bytes], dict[int, np.ndarray]]:
    """Metadata of a video, its frames as JPEGs, and some frames as they were, by position."""
    info = probe(path)
    side = min(short_side, info.height, info.width)
    blobs: list[bytes] = []
    kept: dict[int, np.ndarray] = {}
    matrix, size = None, (0, 0)
    with open_video(str(path)) as (container, stream):
        for number, frame in decode_all(container, stream, str(path)):
            if not number:
                matrix = display_matrix(frame)
            pixels = np.ascontiguousarray(to_rgb(frame, side, matrix))
            if number and pixels.shape[:2] != size:
                raise VideoError(f"{path}: the frame size changes from {size} to {pixels.shape[:2]}")
            size = (pixels.shape[0], pixels.shape[1])
            blobs.append(encode_jpeg(pixels, quality))
            if number % COMPARE_EVERY == 0:
                kept[number] = pixels.copy()
    if len(blobs) != info.frames:
        raise VideoError(f"{path} has {info.frames} frames, but {len(blobs)} were decoded: it may be damaged")
    head = {"frames": len(blobs), "height": size[0], "width": size[1], "fps": info.fps}
    if not info.constant_rate:
        head["times_us"] = (frame_times(path) * 1e6).round().astype(int).tolist()
    return {**head, "sizes": [len(blob) for blob in blobs]}, blobs, kept


def _append(file: BinaryIO, partial: Path, key: str, head: dict[str, Any], blobs: list[bytes]) -> ShardEntry:
    """Append a video to a tar file."""
    text = json.dumps(head).encode()
    entry = ShardEntry(partial, file.tell() + BLOCK, len(text))
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
    return entry


def _check(entry: ShardEntry, name: str, kept: dict[int, np.ndarray]) -> None:
    """Read frames back as training does; `VideoError` if they differ from the source."""
    read_header.cache_clear()  # a video that failed may have had the same entry
    pairs = ((read_frames(entry, np.array([number]), None)[0], pixels) for number, pixels in kept.items())
    if difference := describe_difference(pairs):
        raise VideoError(f"{name}: {difference}")


def write_manifest(plan: ShardPlan, target: Path) -> dict[str, str]:
    """Write the list of records over all shards; returns the ids of videos in no shard, with reasons."""
    entries: dict[str, tuple[str, int, int]] = {}
    failed: dict[str, str] = {}
    for shard in range(plan.shards):
        meta = read_shard_meta(target, shard)
        entries.update({name: (f"{shard_name(shard)}.tar", *entry) for name, entry in meta["videos"].items()})
        failed.update(meta["failed"])
    name_of = {path: name for name, path in plan.videos}
    default = plan.catalogs[0]
    head = {
        "format": FORMAT,
        "layout": default.layout,
        "splits": [catalog.split for catalog in plan.catalogs],
        "classes": default.classes,
        "short_side": plan.short_side,
        "quality": plan.quality,
        "left_out": len(failed),
    }
    lines = [json.dumps(head)]
    for catalog in plan.catalogs:
        for record in catalog.records:
            entry = entries.get(name_of[record.path])
            if entry is not None:
                lines.append(json.dumps([catalog.split, record_fields(record), *entry]))
    with write_file(target / MANIFEST) as file:
        file.write_text("\n".join([*lines, ""]))
    return failed


def remove_stale(target: Path) -> None:
    """Remove incomplete shards of processes on this machine that no longer run."""
    if is_remote(target):
        return
    for partial in target.glob(f".shard-*.{platform.node()}.*{SUFFIX}"):
        number = partial.name.split(".")[-2]
        if number.isdigit() and not process_exists(int(number)):
            partial.unlink(missing_ok=True)
