"""A re-encoded copy has the frames of its source, upright, never larger, and only where it is whole."""

import av
import numpy as np

from vmae_zoo.cli.main import main
from vmae_zoo.data import probe, read_clip
from vmae_zoo.data import reencode as room
from vmae_zoo.data.reencode import reencode_file


def test_a_copy_shows_the_frames_of_its_source(encode, tmp_path):
    source, copy = encode(tmp_path / "a.mkv", frames=40, size=(96, 128), options={"bf": "3"}), tmp_path / "out/a.mp4"
    assert reencode_file(source, copy, short_side=64) == ""
    info = probe(copy)
    assert (info.frames, info.height, info.width, info.codec, info.seekable) == (40, 64, 86, "h264", True)
    there = read_clip(copy, [0, 17, 38]).astype(float)
    error, other = (np.abs(there - read_clip(source, ids, 64)).mean() for ids in ([0, 17, 38], [1, 18, 39]))
    assert error < other / 2
    with av.open(str(copy)) as container:
        frames = list(container.decode(video=0))
        assert [n for n, frame in enumerate(frames) if frame.key_frame] == [0, 16, 32]
        assert not container.streams.video[0].codec_context.has_b_frames


def test_a_turned_or_small_video_is_upright_and_not_enlarged(encode, tmp_path):
    source, copy = encode(tmp_path / "a.mp4", frames=10, size=(48, 64), rotation=90), tmp_path / "b.mp4"
    assert reencode_file(source, copy, short_side=256) == ""
    info = probe(copy)
    assert (info.height, info.width, info.rotation) == (64, 48, 0)


def test_a_copy_that_is_not_its_source_does_not_take_its_name(encode, tmp_path, monkeypatch):
    source, copy = encode(tmp_path / "a.mp4", frames=10), tmp_path / "out/a.mp4"
    monkeypatch.setattr(room, "MIN_PSNR", 99.0)
    assert "PSNR" in reencode_file(source, copy)
    monkeypatch.setattr(room, "_encode", lambda old, new, *_: new.write_bytes(short.read_bytes()) and 9)
    short = encode(tmp_path / "short.mp4", frames=9)
    assert "its copy 9" in reencode_file(source, copy)
    assert not copy.exists()


def test_the_command_copies_resumes_and_names_what_it_cannot(encode, tmp_path, capsys):
    source, target = tmp_path / "set", tmp_path / "fast"
    encode(source / "x/a.mkv", frames=20)
    encode(source / "y/b.mp4", frames=20)
    (source / "y/broken.mp4").write_bytes(b"no video")
    (source / "list.txt").write_text("a 0\n")
    arguments = ["reencode", str(source), str(target), "--workers", "1", "--force"]
    assert main(arguments) == 1
    assert "2 copied, 0 already there, 1 without a copy" in capsys.readouterr().out
    assert sorted(str(p.relative_to(target)) for p in target.rglob("*.*")) == ["list.txt", "x/a.mkv", "y/b.mp4"]
    (source / "y/broken.mp4").unlink()
    assert main(arguments) == 0
    assert "0 copied, 2 already there" in capsys.readouterr().out
