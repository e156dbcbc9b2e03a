"""A cache has the records and frames of its source, can be written in parts, and reports damage."""

import json
import pickle
import platform
import resource

import numpy as np
import pytest

from vmae_zoo.cli.main import main
from vmae_zoo.data import Augmentation, ClipDataset, ClipSpec, VideoError, open_catalog, probe, read_clip
from vmae_zoo.datasets import copy_check
from vmae_zoo.datasets.jpeg_shards import writer
from vmae_zoo.datasets.jpeg_shards.shard_plan import plan_shards
from vmae_zoo.video.decode import frame_times
from vmae_zoo.video.jpeg_shards import read_header

CLIP = ClipSpec(frames=3, stride_frames=2, size=16)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of the brightness, in dB."""
    assert a.shape == b.shape
    return 10 * np.log10(255**2 / np.square((a - b.astype(float)) @ (0.299, 0.587, 0.114)).mean())


@pytest.fixture(scope="module")
def cached(small_set, tmp_path_factory):
    target = tmp_path_factory.mktemp("cached")
    assert main(["cache", str(small_set), str(target), "--workers", "2", "--per-shard", "6"]) == 0
    return target


@pytest.mark.slow
def test_rows_and_keys_are_those_of_the_source(small_set, cached):
    source, copy = open_catalog(small_set), open_catalog(cached)
    assert copy.layout == "cache"
    assert copy.classes == source.classes
    fields = [
        [(row.id, row.label, row.split, row.start, row.end, row.group) for row in c.records] for c in (source, copy)
    ]
    assert fields[0] == fields[1]


@pytest.mark.parametrize("crop", ["multi_scale", "random_resized", "centre"])
@pytest.mark.parametrize("train", [True, False])
def test_clips_have_the_frames_and_crops_of_the_source(small_set, cached, crop, train):
    settings = {"augmentation": Augmentation(crop, flip=True), "train": train, "seed": 3}
    source, copy = (ClipDataset(open_catalog(root).records, CLIP, **settings) for root in (small_set, cached))
    for place in ((0, 0), (9, 1), (20, 2)):
        (here,), (there,) = source[place], copy[place]
        assert (here["key"], here["label"]) == (there["key"], there["label"])
        (other,) = source[place[0], place[1] + 1]
        assert psnr(here["video"], there["video"]) > 28
        assert not train or psnr(other["video"], there["video"]) < 20


def test_positions_are_those_of_a_decode_from_the_start(encode, tmp_path):
    source = encode(tmp_path / "set/a.mkv", frames=40, size=(64, 96), options={"bf": "3"})
    encode(tmp_path / "set/turned.mp4", frames=5, size=(48, 64), rotation=90)
    assert main(["cache", str(tmp_path / "set"), str(tmp_path / "out"), "--workers", "1", "--short-side", "48"]) == 0
    copy, turned = (row.path for row in open_catalog(tmp_path / "out").records)
    ids = [39, 3, 3, 0, 17]
    assert psnr(read_clip(copy, ids), read_clip(source, ids, 48)) > 30
    assert psnr(read_clip(copy, ids), read_clip(source, np.array(ids) - [1, -1, -1, -1, 1], 48)) < 25
    small = read_clip(copy, [5], 24)
    assert small.shape == read_clip(source, [5], 24).shape
    assert psnr(small, read_clip(source, [5], 24)) > 25
    assert (probe(copy).frames, probe(copy).height, probe(copy).fps) == (40, 48, probe(source).fps)
    assert (probe(turned).height, probe(turned).width) == (64, 48)  # upright
    for wrong in ([40], [-1]):
        with pytest.raises(IndexError, match="frame"):
            read_clip(copy, wrong)


def test_a_variable_rate_keeps_the_times_of_its_frames(encode, tmp_path):
    times = [40 * k for k in range(20)] + [1000 + 280 * k for k in range(20)]
    source = encode(tmp_path / "set/a.mp4", frames=40, times=times)
    assert main(["cache", str(tmp_path / "set"), str(tmp_path / "out"), "--workers", "1"]) == 0
    (record,) = open_catalog(tmp_path / "out").records
    assert not probe(record.path).constant_rate
    np.testing.assert_allclose(frame_times(record.path), frame_times(source), atol=1e-6)
    np.testing.assert_allclose(frame_times(source), np.array(times) / 1000, atol=0.001)


def test_it_never_enlarges(small_set, cached):
    assert {min(probe(row.path).height, probe(row.path).width) for row in open_catalog(cached).records} == {32}


def test_segments_and_numbered_splits_stay(encode, tmp_path):
    source = tmp_path / "set"
    for name in ("v_a_g01_c01", "v_a_g02_c01", "v_b_g01_c01", "v_b_g02_c01"):
        encode(source / f"{name}.avi", codec="mpeg4", frames=6, options={"bf": "0"})
    for split in (1, 2):
        names = [f"{c}/v_{c}_g0{g}_c01.avi" for c in "ab" for g in (1, 2)]
        train, test = names[split - 1 :: 2], names[2 - split :: 2]
        (source / f"trainlist0{split}.txt").write_text("".join(f"{n} {1 + 'ab'.index(n[0])}\n" for n in train))
        (source / f"testlist0{split}.txt").write_text("".join(f"{n}\n" for n in test))
    assert main(["cache", str(source), str(tmp_path / "out"), "--workers", "1"]) == 0
    for split in (1, 2):
        here, there = (open_catalog(root, split=split) for root in (source, tmp_path / "out"))
        assert [(r.id, r.label, r.split) for r in here.records] == [(r.id, r.label, r.split) for r in there.records]
    with pytest.raises(ValueError, match=r"split = 3, but the cache .* has 1, 2"):
        open_catalog(tmp_path / "out", split=3)
    (tmp_path / "segments").mkdir()
    lines = ["path,start,end", *(f"{source / 'v_a_g01_c01.avi'},{a},{b}" for a, b in ((0, 0.12), (0.12, 0.24)))]
    (tmp_path / "segments/list.csv").write_text("\n".join(lines))
    assert main(["cache", str(tmp_path / "segments"), str(tmp_path / "cut"), "--workers", "1"]) == 0
    rows = open_catalog(tmp_path / "cut").records
    assert [(row.start, row.end) for row in rows] == [(0, 0.12), (0.12, 0.24)]
    assert rows[0].path == rows[1].path
    spec = ClipSpec(2, 1, 16)
    here, there = (ClipDataset(r, spec, train=False) for r in (open_catalog(tmp_path / "segments").records, rows))
    assert psnr(here[1, 0][0]["video"], there[1, 0][0]["video"]) > 28


def test_parts_join_to_the_whole(small_set, cached, tmp_path, capsys):
    arguments = ["cache", str(small_set), str(tmp_path), "--workers", "1", "--per-shard", "6"]
    assert main([*arguments, "--shard", "1/2"]) == 0
    assert "3 of 5 are missing" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"rows\.jsonl"):
        open_catalog(tmp_path, layout="cache")
    assert main([*arguments, "--shard", "0/2"]) == 0
    for name in sorted(path.name for path in cached.iterdir()):
        assert (tmp_path / name).read_bytes() == (cached / name).read_bytes()


def test_writing_resumes(small_set, cached, tmp_path, capsys, monkeypatch):
    arguments = ["cache", str(small_set), str(tmp_path), "--workers", "1", "--per-shard", "6"]
    make = writer._check
    calls = []

    def killed(*given):
        calls.append(given)
        if len(calls) > 8:
            raise KeyboardInterrupt
        make(*given)

    monkeypatch.setattr(writer, "_check", killed)
    assert main(arguments) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard-000000.json", "shard-000000.tar"]
    (tmp_path / f".shard-000003.tar.{platform.node()}.4194999.part").write_bytes(b"half")
    (others := tmp_path / ".shard-000003.tar.another-machine.7.part").write_bytes(b"half")
    monkeypatch.undo()
    capsys.readouterr()
    assert main(arguments) == 0
    assert "27 videos in 5 shards, of which 4 were made now" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in cached.iterdir()} | {others.name}
    assert main([*arguments, "--quality", "50"]) == 1
    assert str(tmp_path) in capsys.readouterr().err
    (tmp_path / "shard-000000.json").write_text("{}")
    assert main(arguments) == 1
    assert "shard-000000.json is damaged: remove it" in capsys.readouterr().err


def test_what_cannot_be_cached_is_named_and_left_out(encode, tmp_path, capsys):
    for name in "abc":
        encode(tmp_path / f"set/{name}.mp4", frames=6)
    broken = tmp_path / "set/b.mp4"
    broken.write_bytes(broken.read_bytes()[:700])
    (tmp_path / "set/d.mp4").write_bytes(b"")
    assert main(["cache", str(tmp_path / "set"), str(tmp_path / "out"), "--workers", "1", "--per-shard", "9"]) == 1
    printed = capsys.readouterr().out
    assert "2 videos in 1 shards" in printed
    assert "left out: " in printed
    assert str(broken) in printed
    catalog = open_catalog(tmp_path / "out")
    assert [row.id for row in catalog.records] == ["a.mp4", "c.mp4"]
    assert "2 videos could not be cached" in catalog.describe()
    assert psnr(read_clip(catalog.records[1].path, [4]), read_clip(tmp_path / "set/c.mp4", [4])) > 30


def test_a_copy_that_is_not_its_source_is_left_out(encode, tmp_path, capsys, monkeypatch):
    encode(tmp_path / "set/a.mp4", frames=6)
    monkeypatch.setattr(copy_check, "MIN_PSNR", 99.0)
    assert main(["cache", str(tmp_path / "set"), str(tmp_path / "out"), "--workers", "1"]) == 1
    assert "PSNR" in capsys.readouterr().out


def damaged(cached, tmp_path, change):
    """A cache with one shard changed by ``change(bytearray)``, and the first row in it."""
    for path in cached.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = bytearray((tmp_path / "shard-000000.tar").read_bytes())
    row = open_catalog(tmp_path).records[0]
    change(data, row)
    (tmp_path / "shard-000000.tar").write_bytes(data)
    read_header.cache_clear()
    return row


def first_frame(data):
    return data.index(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data, row: data.__delitem__(slice(600, None)), "no video starts at byte 512"),
        (lambda data, row: data.__setitem__(slice(512, 530), b"\0" * 18), "no video starts at byte 512"),
        (lambda data, row: data.__delitem__(slice(first_frame(data) + 20, None)), "frame 0"),
        (lambda data, row: data.__setitem__(slice(first_frame(data), first_frame(data) + 99), b"\0" * 99), "frame 0"),
        (lambda data, row: data.__setitem__(slice(first_frame(data) + 2, first_frame(data) + 99), b"\0" * 97), "frame"),
        (lambda data, row: data.clear(), "no video starts"),
    ],
)
def test_a_damaged_shard_is_named_in_one_sentence(cached, tmp_path, change, message):
    row = damaged(cached, tmp_path, change)
    with pytest.raises(VideoError, match=message) as caught:
        read_clip(row.path, [0, 3])
    assert str(tmp_path / "shard-000000.tar") in str(caught.value)
    (item,) = ClipDataset(open_catalog(tmp_path).records, ClipSpec(12, 1, 16))[0, 0]
    assert str(row.path) in {entry["path"] for entry in item["bad"]}
    assert item["video"].std() > 0


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '[null, {"id": "a"}, "../secret.tar", 0, 5]', '[null, {"id": "a", "x": 1}, "shard-000000.tar", 0, 5]'],
)
def test_a_damaged_list_is_named_with_its_line(cached, tmp_path, line):
    lines = (cached / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join([*lines[:2], line]))
    with pytest.raises(ValueError, match=r"rows\.jsonl is damaged at line 3"):
        open_catalog(tmp_path)


def test_a_hostile_header_reads_nothing_large(tmp_path):
    shard = tmp_path / "shard-000000.tar"
    for sizes in ([-5, 3], [10**15], [], "abc", [[1]], None):
        text = json.dumps({"id": "a", "height": 4, "width": 4, "fps": 1, "sizes": sizes}).encode()
        shard.write_bytes(text)
        read_header.cache_clear()
        with pytest.raises(VideoError, match="byte 0"):
            read_clip(shard / f"0+{len(text)}", [0])


def test_a_dataset_sent_to_another_process_gives_the_same_clips(cached):
    dataset = ClipDataset(open_catalog(cached).records, CLIP, seed=1)
    (here,) = dataset[5, 2]
    (there,) = pickle.loads(pickle.dumps(dataset))[5, 2]
    np.testing.assert_array_equal(here["video"], there["video"])


@pytest.mark.slow
def test_memory_stays_flat(cached):
    rows = open_catalog(cached).records
    dataset = ClipDataset(rows, CLIP)
    for epoch in range(4):
        [dataset[index, epoch] for index in range(len(rows))]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for epoch in range(40):
        [dataset[index, epoch] for index in range(len(rows))]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096  # KB after 1,080 clips


def test_the_webdataset_library_reads_the_shards(small_set, cached):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    shards = sorted(str(path) for path in cached.glob("*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    rows = open_catalog(small_set).records
    assert sorted(sample["json"]["id"] for sample in samples) == sorted(row.id for row in rows)
    by_id = {row.id: row for row in rows}
    for sample in samples[::9]:
        row = by_id[sample["json"]["id"]]
        assert sample["json"]["clips"][0]["label"] == row.label
        frames = np.stack([sample[f"{number:06d}.jpg"] for number in range(sample["json"]["frames"])])
        assert psnr(frames, read_clip(row.path, range(12))) > 28


def test_a_cache_is_not_indexed(cached, capsys):
    assert main(["index", str(cached)]) == 1
    assert "is a cache" in capsys.readouterr().err


def test_a_plan_is_a_function_of_the_videos(small_set):
    first, second = (plan_shards(small_set, None, 256, 90) for _ in range(2))
    assert first.digest == second.digest
    assert [first.videos_of(shard) for shard in range(first.shards)] == [
        second.videos_of(shard) for shard in range(second.shards)
    ]
    assert sum(len(first.videos_of(shard)) for shard in range(first.shards)) == 27
    assert plan_shards(small_set, None, 128, 90).digest != first.digest
