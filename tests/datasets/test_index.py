"""The index has the audit result of every file, and training uses it."""

import os
import shutil
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import av
import lightning as L
import pytest
from benchmarks.corrupt_files import write_sound

from vmae_zoo.cli.main import main
from vmae_zoo.data import ClipDataModule, probe
from vmae_zoo.datasets import make_index as index_writer
from vmae_zoo.datasets.audit import AuditResult, audit
from vmae_zoo.datasets.index import find_index
from vmae_zoo.datasets.make_index import make_index
from vmae_zoo.video import decode
from vmae_zoo.video.packet_index import PacketIndex

B_FRAMES = {"crf": "20", "bf": "3"}


def _damage(path: Path, good: bytes, kind: str) -> None:
    data = bytearray(good)
    if kind == "no end":
        data = data[: len(data) // 2]
    elif kind == "zeros":
        data[:] = bytes(len(data))
    elif kind == "text":
        data = bytearray(b"This is no video.\n" * 50)
    elif kind == "empty":
        data = bytearray()
    path.write_bytes(data)


def _conceal(path: Path, good: bytes) -> None:
    """Invert bytes so that the decoder conceals the damage."""
    for place in range(len(good) // 2, len(good), 100):
        path.write_bytes(good[:place] + bytes(255 - byte for byte in good[place : place + 60]) + good[place + 60 :])
        try:
            with av.open(str(path)) as container:
                frames = [frame.is_corrupt for frame in container.decode(video=0)]
        except av.FFmpegError:
            continue
        if any(frames) and len(frames) == 60:
            return
    raise AssertionError("no position found")


@pytest.fixture(scope="module")
def odd_root(tmp_path_factory, encode) -> Path:
    """Good files, odd ones, and files damaged in ten ways."""
    root = tmp_path_factory.mktemp("odd")
    good = encode(root / "good.mp4", frames=60, options=B_FRAMES).read_bytes()
    front = encode(root / "front.mp4", frames=60, container_options={"movflags": "+faststart"}).read_bytes()
    matroska = encode(root / "good.mkv", frames=60, options=B_FRAMES).read_bytes()
    avi = encode(root / "good.avi", codec="mpeg4", frames=60).read_bytes()
    encode(root / "odd_b_frames.avi", codec="mpeg4", options={"bf": "2"})
    encode(root / "odd_rate.mp4", times=[40 * k + 15 * (k % 3) for k in range(30)])
    encode(root / "odd_turned.mp4", rotation=90)
    (root / "odd_name.avi").write_bytes(good)
    _damage(root / "bad_no_end.mp4", good, "no end")
    _damage(root / "bad_ends_early.mp4", front, "no end")
    _damage(root / "bad_ends_early.mkv", matroska, "no end")
    _damage(root / "bad_ends_early.avi", avi, "no end")
    _conceal(root / "flipped.mp4", front)
    _damage(root / "bad_zeros.mp4", good, "zeros")
    _damage(root / "bad_text.mp4", good, "text")
    _damage(root / "bad_empty.mp4", good, "empty")
    write_sound(root / "bad_audio_only.mp4")
    with av.open(str(root / "bad_no_frames.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
    return root


REASONS = {
    "bad_no_end.mp4": "not a video",
    "bad_ends_early.mp4": "",  # how a cut shows itself is the container's business
    "bad_ends_early.mkv": "",
    "bad_ends_early.avi": "",
    "flipped.mp4": "concealed frames",
    "bad_zeros.mp4": "not a video",
    "bad_text.mp4": "not a video",
    "bad_empty.mp4": "empty",
    "bad_audio_only.mp4": "no video stream",
    "bad_no_frames.mkv": "not a video",
    "odd_b_frames.avi": "B-frames in AVI",
    "odd_rate.mp4": "variable frame rate",
    "odd_turned.mp4": "display rotation",
    "odd_name.avi": "wrong extension",
}


def test_every_damaged_and_every_odd_file_is_flagged_with_its_reason(odd_root):
    wrong = []
    for path in sorted(odd_root.iterdir()):
        found = audit(path)
        expected = {"bad": "damaged", "flipped": "concealed", "odd": "odd"}.get(path.stem.partition("_")[0], "good")
        if found.verdict != expected or REASONS.get(path.name, "") not in "; ".join(found.reasons):
            wrong.append((path.name, found.verdict, found.reasons))
        assert (found.verdict == "good") == (not found.reasons)
    assert not wrong


def test_the_command_counts_resumes_and_forgets(odd_root, tmp_path, capsys):
    root = tmp_path / "videos"
    shutil.copytree(odd_root, root)
    assert main(["index", str(root), "--workers", "1", "--json", str(tmp_path / "found.json")]) == 1
    assert "18 videos: 4 good, 4 odd, 1 concealed, 9 damaged (18 read now" in capsys.readouterr().out
    before = find_index(root).fingerprint
    for path in root.glob("bad_*"):
        path.unlink()
    assert main(["index", str(root), "--workers", "1"]) == 0
    assert main(["index", str(root), "--workers", "1", "--refuse-corrupt"]) == 1
    assert "concealed: flipped.mp4: concealed frames" in capsys.readouterr().out
    (root / "flipped.mp4").unlink()
    os.utime(root / "good.mp4")
    assert main(["index", str(root), "--workers", "1"]) == 0
    assert "8 videos: 4 good, 4 odd, 0 concealed, 0 damaged (1 read now, 7 unchanged)" in capsys.readouterr().out
    after = find_index(root).fingerprint
    assert after != before
    shutil.move(root, tmp_path / "moved")
    assert find_index(tmp_path / "moved").fingerprint == after


def test_the_index_and_a_decode_of_the_whole_file_agree(odd_root):
    for path in sorted(odd_root.glob("good*")) + sorted(odd_root.glob("odd*")):
        with av.open(str(path)) as container:
            frames = sum(1 for _ in container.decode(video=0))
        found = audit(path)
        assert found.info == probe(path)
        assert found.info.frames == frames
        if found.packet_index is not None:
            again = PacketIndex.unpack(found.packet_index.pack())
            assert again.ranges([0, frames - 1]) == found.packet_index.ranges([0, frames - 1])
            assert again.times.tolist() == found.packet_index.times.tolist()


def test_a_root_that_cannot_be_written_is_indexed_in_the_cache_folder(small_set, tmp_path, monkeypatch):
    root = tmp_path / "videos"
    shutil.copytree(small_set / "val", root)
    (root / ".vmae_zoo").touch()  # in the way, even of an administrator
    monkeypatch.setenv("VMAE_ZOO_CACHE", str(tmp_path / "cache"))
    index, read = make_index(root, workers=1, progress=False)
    assert read == 5
    assert index.file.is_relative_to(tmp_path / "cache")
    assert find_index(root).fingerprint == index.fingerprint
    assert make_index(root, workers=1, progress=False)[1] == 0


def test_a_module_leaves_out_damaged_videos_and_reads_frames_by_the_index(small_set, tmp_path, monkeypatch):
    root = tmp_path / "videos"
    shutil.copytree(small_set, root)
    (root / "train/a/damaged.mp4").write_bytes(b"no video")
    index, _ = make_index(root, workers=1, progress=False)
    data = ClipDataModule(str(root), frames=4, stride_frames=1, size=32, workers=0)
    assert len(data.records) == 22
    assert "1 damaged videos left out, for example damaged.mp4" in data.catalog.describe()
    assert index.fingerprint in data.catalog.describe()
    plain = [decode.read_clip(row.path, [3, 9]) for row in data.records[:2]]
    monkeypatch.setattr(decode, "read_packet_index", None)  # the index is enough
    for row, clip in zip(data.records, plain, strict=False):
        assert data.reader.probe(row.path).seekable
        assert (data.reader.read_clip(row.path, [3, 9]) == clip).all()
    for path in root.rglob("*.mp4"):
        os.utime(path)  # as a copy without times
    assert "files changed since they were indexed" in ClipDataModule(str(root)).catalog.describe()
    with pytest.warns(UserWarning, match="the videos changed"):
        data.load_state_dict({"index": "other"})


def test_refuse_corrupt_leaves_out_what_the_index_calls_concealed_and_warns_without_an_index(odd_root, tmp_path):
    for name in ("good.mp4", "flipped.mp4"):
        shutil.copy(odd_root / name, tmp_path / name)

    def data(refuse_corrupt):
        module = ClipDataModule(str(tmp_path), refuse_corrupt=refuse_corrupt, batch_size=1, workers=0)
        module.trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        module.setup("fit")
        return [record.id for record in module.records]

    with pytest.warns(UserWarning, match="refuse_corrupt"):
        assert data(True) == ["flipped.mp4", "good.mp4"]
    make_index(tmp_path, workers=1, progress=False)
    assert data(False) == ["flipped.mp4", "good.mp4"]
    assert data(True) == ["good.mp4"]


def crashing(path: str) -> AuditResult:
    """Like `audit`, but some files kill their process."""
    if Path(path).name.startswith("crash"):
        os._exit(9)
    return audit(path)


def test_a_file_that_kills_its_process_is_damaged_and_the_others_are_audited(small_set, tmp_path, monkeypatch, capsys):
    root = tmp_path / "videos"
    shutil.copytree(small_set / "val", root)
    shutil.copy(next(root.rglob("*.mp4")), root / "crash.mp4")
    shutil.copy(next(root.rglob("*.mp4")), root / "crash too.mp4")
    monkeypatch.setattr(index_writer, "audit", crashing)
    index, read = make_index(root, workers=2, progress=False)
    verdicts = {name: (verdict, reasons) for name, (verdict, reasons, *_) in index.verdicts().items()}
    assert read == len(verdicts) == 7
    for name in ("crash.mp4", "crash too.mp4"):
        assert verdicts.pop(name) == ("damaged", "it crashes the decoder")
    assert {verdict for verdict, _ in verdicts.values()} == {"good"}
    assert make_index(root, workers=2, progress=False)[1] == 0  # and are not tried again


def test_without_its_disk_an_index_returns_nothing_and_recovers(small_set, tmp_path, monkeypatch):
    root = tmp_path / "videos"
    shutil.copytree(small_set / "val", root)
    index, _ = make_index(root, workers=1, progress=False)
    path = next(root.rglob("*.mp4"))
    identity = str(path), path.stat().st_size, path.stat().st_mtime_ns
    assert index.lookup(*identity)
    index._connection.close()
    assert index.lookup(*identity) is None
    assert index.lookup(*identity)


@pytest.mark.slow
def test_a_resumed_run_warns_if_the_index_changed(small_set, tmp_path, capfd, monkeypatch):
    root = tmp_path / "videos"
    shutil.copytree(small_set, root)
    make_index(root, workers=1, progress=False)
    monkeypatch.chdir(tmp_path)
    settings = ["--data.root", str(root), "--data.size", "32", "--data.frames", "2", "--data.stride_frames", "2"]
    settings += ["--data.workers", "0", "--data.batch_size", "2", "--data.global_batch", "2", "--model.depth", "1"]
    fit = ["fit", "-c", "recipes/videomae.yaml", *settings, "--trainer.enable_progress_bar", "false"]
    assert main([*fit, "--trainer.max_steps", "2"]) == 0
    assert main([*fit, "--trainer.max_steps", "3", "--ckpt_path", "last"]) == 0
    assert "the videos changed" not in capfd.readouterr().err
    (root / "train/a/new.mp4").write_bytes(b"no video")
    make_index(root, workers=1, progress=False)
    with pytest.warns(UserWarning, match="the videos changed: the checkpoint was made with index"):
        assert main([*fit, "--trainer.max_steps", "4", "--ckpt_path", "last"]) == 0


HEALTHY = {
    **{f"vfr.{kind}": {"frames": 77, "times": [40 * k for k in range(40)] + [1600 + 280 * k for k in range(1, 38)]}
       for kind in ("mkv", "flv", "m2ts", "mp4")},
    "recorder.webm": {"codec": "libvpx", "frames": 60, "times": [75 * k + 31 * k % 40 for k in range(60)]},
    "offset.mkv": {"frames": 60, "times": [10_000 + 40 * k for k in range(60)]},
    "program.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}, "frames": 60},
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_files_of_a_variable_rate_or_a_late_start_are_not_damaged(name, encode, tmp_path):
    found = audit(encode(tmp_path / name, **HEALTHY[name]))
    expected = ("odd", ("variable frame rate",)) if name.startswith(("vfr", "recorder")) else ("good", ())
    assert (found.verdict, found.reasons) == expected
    assert found.info == probe(tmp_path / name)


def test_a_variable_rate_file_that_ends_early_is_damaged(encode, tmp_path):
    whole = encode(tmp_path / "whole.mkv", **HEALTHY["vfr.mkv"]).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    assert audit(tmp_path / "cut.mkv").verdict == "damaged"


COUNT = "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n) SELECT"
HOSTILE = {  # statements that change a stranger's index
    "endless view": ["DROP TABLE files", f"CREATE VIEW files AS {COUNT} k AS path, 'good' AS verdict FROM n"],
    "endless trigger": [
        "CREATE TABLE n (k INTEGER)",
        "CREATE TRIGGER start AFTER DELETE ON files BEGIN INSERT INTO n SELECT 1; END",
        "CREATE TRIGGER grow AFTER INSERT ON files BEGIN INSERT INTO n SELECT 1 FROM files, files, files; END",
    ],
    "no metadata": ["UPDATE files SET info = '[' || hex(zeroblob(100000)) || ']'"],
    "other metadata": ["UPDATE files SET info = '{\"frames\": 3}'"],
    "numbers out of bounds": ["UPDATE files SET info = replace(info, '\"frames\": 30', '\"frames\": 1e300')"],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_index_that_another_program_wrote_is_bounded_or_not_used(tmp_path, encode, kind):
    video = encode(tmp_path / "set/a.mp4")
    written, _ = make_index(tmp_path / "set", workers=1, progress=False)
    with closing(sqlite3.connect(written.file)) as connection:
        for statement in HOSTILE[kind]:
            connection.execute(statement)
        connection.commit()
    index, status = find_index(tmp_path / "set"), video.stat()
    assert index is None or index.lookup(str(video), status.st_size, status.st_mtime_ns) is None
    assert len(ClipDataModule(str(tmp_path / "set")).catalog.records) == 1
    video.touch()
    again, _ = make_index(tmp_path / "set", workers=1, progress=False)
    assert again.lookup(str(video), video.stat().st_size, video.stat().st_mtime_ns)[0].frames == 30


@pytest.mark.slow
def test_a_packed_index_that_grows_without_end_is_refused():
    bomb = zlib.compress(bytes(64 << 20), 9)
    for packed in (bomb, bomb[: len(bomb) // 2]):
        with pytest.raises(ValueError, match="packets"):
            PacketIndex.unpack(packed)


def test_a_damaged_index_is_one_sentence(tmp_path, encode):
    encode(tmp_path / "set/a.mp4")
    index, _ = make_index(tmp_path / "set", workers=1, progress=False)
    with closing(sqlite3.connect(index.file)) as connection:
        connection.execute("UPDATE files SET reasons = '[', verdict = 'damaged'")
        connection.commit()
    with pytest.raises(ValueError, match=r"index.sqlite is damaged .*delete it"):
        ClipDataModule(str(tmp_path / "set")).catalog  # noqa: B018


@pytest.mark.slow
def test_parts_make_the_index_of_one_process(tmp_path, encode, capsys):
    root = tmp_path / "set"
    for name in "abcde":
        encode(root / f"{name}/{name}.mp4", frames=ord(name) - 70)
    (root / "a/damaged.mp4").write_bytes(b"no video")
    whole, _ = make_index(root, workers=1, progress=False)
    expected, fingerprint = whole.verdicts(), whole.fingerprint
    whole.file.unlink()
    codes = [main(["index", str(root), "--workers", "1", "--shard", f"{part}/3"]) for part in (2, 0, 1)]
    assert sorted(codes) == [0, 0, 1]
    assert "joins all parts" in capsys.readouterr().out
    assert find_index(root) is None
    joined, read = make_index(root, workers=1, progress=False)
    assert (joined.verdicts(), joined.fingerprint, read) == (expected, fingerprint, 0)
    assert [file.name for file in joined.file.parent.iterdir()] == ["index.sqlite"]
    encode(root / "a/new.mp4", frames=9)
    assert sum(make_index(root, workers=1, progress=False, part=(part, 3))[1] for part in range(3)) == 1


def test_a_damaged_part_is_audited_again(tmp_path, encode):
    for name in "abc":
        encode(tmp_path / f"set/{name}.mp4", frames=ord(name) - 70)
    part, _ = make_index(tmp_path / "set", workers=1, progress=False, part=(0, 2))
    part.file.write_bytes(part.file.read_bytes()[:5000] + bytes(5000))
    index, read = make_index(tmp_path / "set", workers=1, progress=False)
    assert read == 3
    assert {verdict for verdict, *_ in index.verdicts().values()} == {"good"}
