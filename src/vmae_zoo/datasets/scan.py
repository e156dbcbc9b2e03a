"""The videos of a folder: all of them, found in one parallel walk, or whether there is any."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

EXTENSIONS = (
    ".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".ogv",
    ".ts", ".m2ts", ".mts", ".vob", ".mxf",
)  # fmt: skip
THREADS = 16  # a network file system answers many requests at once
BLOCK = 4096  # folders that are read before the next are queued
BAR_AFTER_SECONDS = 2
_reported: set[str] = set()  # skipped entries, each reported once per process


class Listing(NamedTuple):
    """Paths of a folder's entries, without hidden ones: subfolders, links to folders, and videos."""

    folders: list[str]
    links: list[str]
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
    """All videos in a folder and its subfolders, sorted, without hidden ones.

    Links to folders are followed after all folders, and each folder is read once. Folders are read in parallel; a bar
    on a terminal counts the videos if it takes long. Entries that are no files (pipes, sockets, devices, broken links)
    and folders without read permission are skipped.
    """
    videos, links, entered = list[str](), list[str](), set[str]()
    level = {os.path.realpath(folder): os.fspath(folder)}  # paths by names without links
    bar = tqdm(desc=f"scanning {folder}", unit=" videos", delay=BAR_AFTER_SECONDS, disable=None, leave=False)
    with bar, ThreadPoolExecutor(THREADS) as threads:
        while level or links:
            if not level:
                for link in links:
                    level.setdefault(os.path.realpath(link), link)
                links = []
            left = [(real, path) for real, path in level.items() if real not in entered]
            entered.update(level)
            level = {}
            for first in range(0, len(left), BLOCK):
                block = left[first : first + BLOCK]
                listings = threads.map(list_folder, [path for _, path in block])
                for (real, _), listing in zip(block, listings, strict=True):
                    level |= {os.path.join(real, os.path.basename(path)): path for path in listing.folders}
                    links += listing.links
                    videos += listing.videos
                    bar.update(len(listing.videos))
    return sorted(videos, key=lambda video: video.split(os.sep))


def has_video(folder: str | Path) -> bool | None:
    """Whether a folder or a subfolder has a video, reading no more than needed; None if only links may lead to one."""
    folders, linked = [os.fspath(folder)], False
    while folders:
        listing = list_folder(folders.pop())
        if listing.videos:
            return True
        folders += reversed(listing.folders)
        linked |= bool(listing.links)
    return None if linked else False


def list_folder(folder: str | Path) -> Listing:
    """The entries of one folder, sorted; what cannot be read is reported on standard error and left out."""
    listing = Listing([], [], [])
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
            (listing.links if entry.is_symlink() else listing.folders).append(entry.path)
        elif is_video(entry.name):
            if is_file:
                listing.videos.append(entry.path)
            else:
                _skip(entry.path, "no regular file, or a broken link")
    return listing


def _skip(path: str | Path, reason: str) -> None:
    name = os.fspath(path).encode(errors="surrogateescape").decode(errors="backslashreplace")
    if name not in _reported:
        _reported.add(name)
        tqdm.write(f"{name} is skipped: {reason}", file=sys.stderr)
