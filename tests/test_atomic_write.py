"""A file or folder has its name only when it is complete."""

import os
import stat

import numpy as np
import pytest
from safetensors.numpy import save_file

from vmae_zoo.atomic_write import atomic_folder, atomic_write


def test_a_file_is_replaced_at_the_end_and_its_folder_made(tmp_path):
    target = tmp_path / "a/b.bin"
    for content in (b"first", b"second"):
        with atomic_write(target) as partial:
            partial.write_bytes(content)
            assert partial.parent == target.parent
            assert not target.exists() or target.read_bytes() == b"first"
        assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_previous_file_and_nothing_else(tmp_path):
    target = tmp_path / "b.bin"
    target.write_bytes(b"first")
    with pytest.raises(IsADirectoryError), atomic_write(target) as partial:
        partial.write_bytes(tmp_path.read_bytes())
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


def test_the_file_is_synced_before_it_is_renamed_and_the_folder_after(tmp_path, monkeypatch):
    events, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: events.append(os.fstat(number).st_ino) or sync(number))
    with atomic_write(tmp_path / "b.bin") as partial:
        partial.write_bytes(b"all")
    if os.name == "posix":
        assert events == [path.stat().st_ino for path in (tmp_path / "b.bin", tmp_path)]


def test_a_name_of_the_longest_length_can_be_written(tmp_path):
    target = tmp_path / ("x" * 251 + ".mp4")
    with atomic_write(target) as partial:
        partial.write_bytes(b"all")
    assert target.read_bytes() == b"all"


def test_a_folder_appears_complete_or_not_at_all(tmp_path):
    target = tmp_path / "set"
    with pytest.raises(FileNotFoundError), atomic_folder(target) as partial:
        (partial / "a/b").touch()
    assert not list(tmp_path.iterdir())
    with atomic_folder(target) as partial:
        (partial / "a").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["a"]
    (target / "b").touch()
    with pytest.raises(OSError, match=str(target)), atomic_folder(target) as partial:
        (partial / "c").touch()
    assert {path.name for path in target.iterdir()} == {"a", "b"}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_are_those_of_the_umask_whoever_writes_the_file(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "weights.safetensors") as partial:
            save_file({"a": np.zeros(3)}, partial)  # writes a file that its owner alone can read
        with atomic_folder(tmp_path / "set") as partial:
            (partial / "a").write_bytes(b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "weights.safetensors").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "set").stat().st_mode) == 0o750
