"""A re-encoded copy has the frames of its source, upright and never larger, and exists only if it is complete."""

import av
import numpy as np
import pytest

from vmae_zoo.cli.main import main
from vmae_zoo.data import probe, read_clip
from vmae_zoo.datasets import copy_check
from vmae_zoo.datasets import reencode as reencode_module
from vmae_zoo.datasets.reencode import reencode_file
from vmae_zoo.video import packet_index
from vmae_zoo.video.decode import frame_times


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
        kinds = "".join("?IPB"[frame.pict_type] for frame in frames)
        assert kinds == "IBBBBBBBPBBBBBBP" * 2 + "IBBBBBBP"


@pytest.mark.parametrize("ids", [range(0, 40, 4), range(3, 40, 4), range(1, 33, 2), [39, 7, 16]])
def test_frames_of_a_copy_are_exact_and_few_are_decoded(encode, tmp_path, ids, monkeypatch):
    source, copy = encode(tmp_path / "a.mkv", frames=40, size=(96, 128)), tmp_path / "a.mp4"
    assert reencode_file(source, copy, short_side=64) == ""
    with av.open(str(copy)) as container:
        all_frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    sent = []
    decode = packet_index._decode_packets
    monkeypatch.setattr(packet_index, "_decode_packets", lambda *given: sent.extend(given[-1]) or decode(*given))
    np.testing.assert_array_equal(read_clip(copy, list(ids)), np.stack([all_frames[n] for n in ids]))
    needed = {n for n in range(40) if n % 16 in (0, 8, 15)} | {39}
    assert len(sent) <= 1 + len(needed | set(ids))  # and the first frame, at the first look at the file


def test_a_turned_or_small_video_is_upright_and_not_enlarged(encode, tmp_path):
    source, copy = encode(tmp_path / "a.mp4", frames=10, size=(48, 64), rotation=90), tmp_path / "b.mp4"
    assert reencode_file(source, copy, short_side=256) == ""
    info = probe(copy)
    assert (info.height, info.width, info.rotation) == (64, 48, 0)


@pytest.mark.parametrize("name", ["slower.mp4", "recorder.webm"])
def test_a_copy_of_a_variable_rate_keeps_the_times_of_its_frames(encode, tmp_path, name):
    times, codec = [40 * k for k in range(20)] + [1000 + 280 * k for k in range(20)], "libvpx"
    source = encode(tmp_path / name, codec if name.endswith("webm") else "libx264", frames=40, times=times)
    copy = tmp_path / "copy" / "a.mp4"
    assert reencode_file(source, copy) == ""
    assert not probe(copy).constant_rate
    np.testing.assert_allclose(frame_times(copy), np.array(times) / 1000, atol=0.001)


def test_a_copy_that_is_not_its_source_does_not_take_its_name(encode, tmp_path, monkeypatch):
    source, copy = encode(tmp_path / "a.mp4", frames=10), tmp_path / "out/a.mp4"
    monkeypatch.setattr(copy_check, "MIN_PSNR", 99.0)
    assert "PSNR" in reencode_file(source, copy)
    monkeypatch.setattr(reencode_module, "_encode", lambda old, new, *_: new.write_bytes(short.read_bytes()) and 9)
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


@pytest.mark.slow
def test_parts_make_the_whole(encode, tmp_path, capsys):
    for name in "abc":
        encode(tmp_path / f"set/{name}.mp4", frames=20)
    (tmp_path / "set/list.txt").write_text("a 0\n")
    arguments = ["reencode", str(tmp_path / "set"), str(tmp_path / "fast"), "--workers", "1", "--force"]
    assert main([*arguments, "--shard", "1/2"]) == 0
    assert [path.name for path in (tmp_path / "fast").iterdir()] == ["b.mp4"]
    assert main([*arguments, "--shard", "0/2"]) == 0
    assert sorted(path.name for path in (tmp_path / "fast").iterdir()) == ["a.mp4", "b.mp4", "c.mp4", "list.txt"]
    assert main([*arguments, "--shard", "2/2"]) == 1
    assert "--shard 2/2 is not I/N" in capsys.readouterr().err
