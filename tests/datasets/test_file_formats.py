"""Index databases and caches are read as documented, whichever version wrote them."""

import io
import json
import sqlite3
import tarfile
import zlib

import cv2
import numpy as np

from vmae_zoo.data import open_catalog, read_clip
from vmae_zoo.datasets.index import VERSION, find_index
from vmae_zoo.video.decode import probe


def test_an_index_database_of_version_3_is_read(encode, tmp_path):
    video = encode(tmp_path / "a/clip.mp4", frames=6, gop=3)
    status, info = video.stat(), probe(video)
    pts = np.array([0, 512, 1024, 1536, 2048, 2560])
    flags = bytes([0b11, 0b10, 0b10, 0b11, 0b10, 0b110])  # random access 1, shown 2, disposable 4
    packed = zlib.compress(flags + np.diff(pts, prepend=0).astype("<i8").tobytes())
    fields = {name: getattr(info, name) for name in type(info).__slots__}
    (tmp_path / ".vmae_zoo").mkdir()
    connection = sqlite3.connect(tmp_path / ".vmae_zoo/index.sqlite")
    connection.execute(
        "CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, digest TEXT, verdict TEXT, "
        "reasons TEXT, duration REAL, info TEXT, timeline BLOB)"
    )
    file = ("a/clip.mp4", status.st_size, status.st_mtime_ns, "0" * 32)
    row = (*file, "odd", '["variable frame rate"]', 0.24, json.dumps(fields), packed)
    connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute("PRAGMA user_version = 3")
    connection.commit()
    connection.close()
    assert VERSION == 3
    index = find_index(tmp_path)
    known, packets = index.lookup(str(video), status.st_size, status.st_mtime_ns)
    assert known == info
    assert packets.pts.tolist() == packets.times.tolist() == pts.tolist()
    assert packets.disposable.tolist() == [False] * 5 + [True]
    assert [(found.first, found.last) for found in packets.ranges([1, 5])] == [(0, 1), (3, 5)]
    assert index.verdicts() == {"a/clip.mp4": ("odd", "variable frame rate", status.st_size, status.st_mtime_ns)}


def test_a_cache_of_format_1_is_read(tmp_path):
    frames = [np.full((32, 48, 3), 40 * number, np.uint8) for number in range(4)]
    blobs = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]
    header = {"id": "a/x.avi", "frames": 4, "height": 32, "width": 48, "fps": 25.0, "sizes": list(map(len, blobs))}
    text = json.dumps(header).encode()
    members = [("k.json", text), *((f"k.{number:06d}.jpg", blob) for number, blob in enumerate(blobs))]
    with tarfile.open(tmp_path / "shard-000000.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    about = {"format": "vmae_zoo cache 1", "layout": "folder", "splits": [None], "classes": ["a", "b"], "left_out": 0}
    line = [None, {"id": "a/x.avi", "label": 0, "split": "train"}, "shard-000000.tar", 512, len(text)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in (about, line)))
    catalog = open_catalog(tmp_path)
    (record,) = catalog.records
    assert (record.id, record.label, catalog.classes) == ("a/x.avi", 0, ["a", "b"])
    clip = read_clip(record.path, [3, 0])
    assert clip.shape == (2, 32, 48, 3)
    np.testing.assert_allclose(clip.mean((1, 2, 3)), [120, 0], atol=2)
