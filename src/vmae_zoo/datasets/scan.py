"""The videos of a folder: all of them, found in one parallel walk, or whether there is any."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

EXTENSIONS = (
    ".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".ogv",
    ".ts", ".m2ts", ".mts", ".vob", ".mxf",
)  # fmt: skip
THREADS = 16  # a network file system answers many requests at once
BAR_AFTER_SECONDS = 2
_reported: set[str] = set()  # skipped entries, each reported once per process


class Listing(NamedTuple):
    """Entries of a folder: paths of its subfolders and of its videos, without hidden ones."""

    folders: list[str]
    videos: list[str]


def is_video(path: Path | str) -> bool:
    """Whether a file has the extension of a video."""
    return os.path.splitext(path)[1].lower() in EXTENSIONS


def list_videos(folder: Path) -> list[Path]:
    """`scan_videos` as paths."""
    return [Path(video) for video in scan_videos(folder)]


def videos_by_stem(folder: Path) -> dict[str, str]:
    """The videos of `scan_videos` by their names without folder and extension."""
    return {os.path.splitext(os.path.basename(video))[0]: video for video in scan_videos(folder)}


def scan_videos(folder: Path) -> list[str]:
    """All videos in a folder and its subfolders, sorted, without hidden ones; links to folders are followed once.

    Folders of one depth are read in parallel; a bar on a terminal counts the videos if it takes long. Entries that are
    no files (pipes, sockets, devices, broken links) and folders without read permission are skipped.
    """
    videos, entered = list[str](), set[str]()
    bar = tqdm(desc=f"scanning {folder}", unit=" videos", delay=BAR_AFTER_SECONDS, disable=None, leave=False)
    with bar, ThreadPoolExecutor(THREADS) as threads:
        depth = [os.fspath(folder)]
        while depth:
            depth = list(_not_entered(depth, entered))
            below = []
            for listing in threads.map(list_folder, depth):
                below += listing.folders
                videos += listing.videos
                bar.update(len(listing.videos))
            depth = below
    return sorted(videos, key=lambda video: video.split(os.sep))


def has_video(folder: str | Path) -> bool:
    """Whether a folder or a subfolder has a video; reads folders until it finds one."""
    depth, entered = [os.fspath(folder)], set[str]()
    while depth:
        below = []
        for path in _not_entered(depth, entered):
            listing = list_folder(path)
            if listing.videos:
                return True
            below += listing.folders
        depth = below
    return False


def list_folder(folder: str | Path) -> Listing:
    """The entries of one folder, sorted; what cannot be read is reported on standard error and left out."""
    listing = Listing([], [])
    try:
        with os.scandir(folder) as opened:
            entries = sorted(opened, key=lambda entry: entry.name)
    except OSError as error:
        _skip(folder, error.strerror or str(error))
        return listing
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError as error:
            _skip(entry.path, error.strerror or str(error))
            continue
        if is_folder:
            listing.folders.append(entry.path)
        elif is_video(entry.name):
            if is_file:
                listing.videos.append(entry.path)
            else:
                _skip(entry.path, "no regular file, or a broken link")
    return listing


def _not_entered(folders: list[str], entered: set[str]) -> Iterator[str]:
    """The folders that were not read yet, under this or another name."""
    for folder in folders:
        real = os.path.realpath(folder)
        if real not in entered:
            entered.add(real)
            yield folder


def _skip(path: str | Path, reason: str) -> None:
    name = os.fspath(path).encode(errors="surrogateescape").decode(errors="backslashreplace")
    if name not in _reported:
        _reported.add(name)
        print(f"{name} is skipped: {reason}", file=sys.stderr, flush=True)
