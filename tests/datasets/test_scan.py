"""Folders are searched for videos in one walk, and the layout is recognized without one."""

import os
import random

import pytest

from vmae_zoo.datasets.layouts import open_catalog
from vmae_zoo.datasets.scan import has_video, is_video, list_videos, videos_by_stem

NAMES = ("a", "b", "train", "val", "Test", ".hidden")
FILES = ("x.mp4", "y.AVI", "z.txt", ".w.mp4")


@pytest.fixture(params=range(60))
def tree(request, tmp_path):
    """A random tree of at most three levels, with files that are videos and others."""
    rng = random.Random(request.param)
    for _ in range(rng.randint(0, 8)):
        folder = tmp_path.joinpath("set", *(rng.choice(NAMES) for _ in range(rng.randint(0, 3))))
        folder.mkdir(parents=True, exist_ok=True)
        for name in rng.sample(FILES, rng.randint(0, 2)):
            (folder / name).touch()
    folders = sorted(path for path in tmp_path.rglob("*") if path.is_dir())
    for number in range(rng.randint(0, 2) if folders else 0):
        (rng.choice(folders) / f"link{number}").symlink_to(rng.choice([*folders, tmp_path / "far"]))
    (tmp_path / "far/deep").mkdir(parents=True)
    (tmp_path / "far/deep/x.mp4").touch()
    (tmp_path / "set").mkdir(exist_ok=True)
    return tmp_path / "set"


def visible_videos(folder):
    """The videos of all folders, then those behind links, each folder once."""
    found, links, entered = [], [], set()

    def walk(path):
        if path.resolve() in entered:
            return
        entered.add(path.resolve())
        for entry in sorted(path.iterdir()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                links.append(entry) if entry.is_symlink() else walk(entry)
            elif is_video(entry):
                found.append(entry)

    walk(folder)
    while links:
        now, links[:] = list(links), []
        for link in now:
            walk(link)
    return sorted(found)


def test_all_videos_are_found_in_the_order_of_their_paths(tree):
    videos = visible_videos(tree)
    assert list_videos(tree) == videos
    assert has_video(tree) in (bool(videos), None)
    assert has_video(tree) or not any(video.resolve().is_relative_to(tree) for video in videos)


def test_a_folder_has_classes_if_every_video_is_in_one_of_two_or_more(tree):
    videos = [path.relative_to(tree).parts for path in visible_videos(tree)]
    if not videos:
        with pytest.raises(ValueError, match="no videos"):
            open_catalog(tree)
        return
    if any(parts[0] == "train" for parts in videos):
        videos = [parts[1:] for parts in videos if parts[0] in ("train", "val", "Test")]
    classes = {parts[0] if len(parts) > 1 else None for parts in videos}
    expected = "folder" if len(classes) > 1 and None not in classes else "flat"
    catalog = open_catalog(tree)
    assert (catalog.layout, len(catalog.records)) == (expected, len(videos))
    assert catalog.classes == (sorted(classes) if expected == "folder" else [])


def test_a_link_back_ends_and_unreadable_entries_are_reported_once(tmp_path, capsys):
    (tmp_path / "set/a").mkdir(parents=True)
    (tmp_path / "set/a/x.mp4").touch()
    (tmp_path / "set/a/back").symlink_to(tmp_path / "set")
    (tmp_path / "set/gone.mp4").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "set/pipe.mp4")
    for _ in range(2):
        assert list_videos(tmp_path / "set") == [tmp_path / "set/a/x.mp4"]
        assert open_catalog(tmp_path / "set").layout == "flat"
    skipped = capsys.readouterr().err.splitlines()
    assert sorted(line.split(" is skipped")[0] for line in skipped) == [
        str(tmp_path / "set/gone.mp4"),
        str(tmp_path / "set/pipe.mp4"),
    ]


def test_videos_are_found_by_their_names_without_extension(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.two.mp4").touch()
    assert videos_by_stem(tmp_path) == {"one.two": str(tmp_path / "a/one.two.mp4")}


def test_a_class_may_hold_nothing_but_a_link(tmp_path):
    for name in ("set/a", "set/b", "far"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "set/a/x.mp4").touch()
    (tmp_path / "far/y.mp4").touch()
    (tmp_path / "set/b/link").symlink_to(tmp_path / "far")
    assert open_catalog(tmp_path / "set").classes == ["a", "b"]
