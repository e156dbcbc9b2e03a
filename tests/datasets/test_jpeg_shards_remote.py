"""A cache on an object store: written whole, read by a few ranged requests, in forked workers too."""

import http.server
import socket
import threading
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from torch.utils.data import DataLoader

from vmae_zoo.cli.main import main
from vmae_zoo.data import ClipDataModule, ClipDataset, ClipSpec, VideoError, collate, open_catalog, read_clip
from vmae_zoo.video import storage
from vmae_zoo.video.jpeg_shards import ShardEntry, read_header
from vmae_zoo.video.storage import read_pieces


@pytest.fixture(scope="module")
def caches(small_set, tmp_path_factory):
    """The same cache in a folder and in fsspec's memory."""
    local = tmp_path_factory.mktemp("cached")
    for target in (str(local), "memory://bucket/cached"):
        assert main(["cache", str(small_set), target, "--workers", "1", "--per-shard", "6"]) == 0
    yield local, "memory://bucket/cached"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_what_lies_in_a_store_is_what_lies_in_a_folder(caches):
    local, url = caches
    system = fsspec.filesystem("memory")
    names = {name.rpartition("/")[2] for name in system.ls("/bucket/cached", detail=False)}
    assert names == {path.name for path in local.iterdir()}
    assert all(system.cat_file(f"/bucket/cached/{name}") == (local / name).read_bytes() for name in names)
    here, there = open_catalog(local), open_catalog(url)
    assert [(row.id, row.label, row.split) for row in here.records] == [(r.id, r.label, r.split) for r in there.records]
    np.testing.assert_array_equal(*(read_clip(c.records[9].path, [7, 0, 7]) for c in (here, there)))
    assert ClipDataModule(url).classes == here.classes


def test_writing_resumes_in_a_store(small_set, caches, capsys):
    system = fsspec.filesystem("memory")
    system.rm("/bucket/cached/shard-000002.json")
    assert main(["cache", str(small_set), caches[1], "--workers", "1", "--per-shard", "6"]) == 0
    assert "of which 1 were made now" in capsys.readouterr().out


class Remembering(MemoryFileSystem):
    """A store that caches its listings, as s3fs does."""

    protocol = "remembering"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("remembering://", "memory://"))

    def ls(self, path, detail=True, **settings):
        if path not in self.dircache:
            self.dircache[path] = found = super().ls(path, detail=True, **settings)
        else:
            found = self.dircache[path]
        return found if detail else [entry["name"] for entry in found]

    def invalidate_cache(self, path=None):
        self.dircache.clear()


def test_what_others_write_to_a_store_is_seen():
    fsspec.register_implementation("remembering", Remembering, clobber=True)
    place, memory = Path("remembering:/bucket/array"), fsspec.filesystem("memory")
    try:
        memory.pipe_file("/bucket/array/shard-000000.json", b"{}")
        assert storage.names(place) == {"shard-000000.json"}
        memory.pipe_file("/bucket/array/shard-000001.json", b"{}")
        assert storage.names(place) == {"shard-000000.json", "shard-000001.json"}
    finally:
        memory.rm("/bucket/array", recursive=True)


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves files of a folder and ranges of them, and records what it sent."""

    sent: list[tuple[str, int]] = []  # noqa: RUF012
    failing: list[None] = []  # noqa: RUF012

    def do_GET(self):
        file = Path(self.translate_path(self.path))
        if file.name == "shard-000088.tar" or self.failing:
            self.failing and self.failing.pop()
            return  # hangs up
        if not file.exists():
            self.send_error(404)
            return
        data = file.read_bytes()
        status, wanted = 200, self.headers.get("Range")
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            data, status = data[int(first) : int(last) + 1], 206
        self.sent.append((self.path, len(data)))
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(caches, monkeypatch):
    """The cache by HTTP on this machine: its URL, and what was sent."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    monkeypatch.chdir(caches[0])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Ranges.sent = []
    yield f"http://127.0.0.1:{server.server_port}", Ranges.sent
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_clip_is_two_ranged_requests(caches, served):
    url, sent = served
    there, here = open_catalog(url).records[20], open_catalog(caches[0]).records[20]
    sent.clear()
    read_header.cache_clear()
    clip = read_clip(there.path, range(0, 12, 3))
    assert [path for path, _ in sent] == [f"/{there.path.parent.name}"] * 2
    whole = (caches[0] / there.path.parent.name).stat().st_size
    assert sum(size for _, size in sent) < whole / 4
    np.testing.assert_array_equal(clip, read_clip(here.path, range(0, 12, 3)))


def test_distant_ranges_are_separate_requests(caches, served, monkeypatch):
    url, sent = served
    row = open_catalog(url).records[0]
    shard, local = row.path.parent, caches[0] / row.path.parent.name
    monkeypatch.setattr("vmae_zoo.video.storage.MERGE_GAP", 100)
    sent.clear()
    starts, ends = [0, 150, 2000, 2101], [100, 600, 2100, 2500]
    assert read_pieces(shard, starts, ends) == read_pieces(local, starts, ends)
    assert sorted(size for _, size in sent) == [500, 600]


@pytest.mark.slow
def test_forked_workers_read_from_a_store(caches, served):
    url, _ = served
    spec = ClipSpec(frames=3, stride_frames=2, size=16)
    here, there = (ClipDataset(open_catalog(root).records, spec, seed=1) for root in (caches[0], url))
    expected = collate([here[3, 0], here[4, 0]])
    there[0, 0]  # this process has a connection before it forks
    for _ in range(2):
        (batch,) = DataLoader(there, batch_sampler=[[(3, 0), (4, 0)]], num_workers=1, collate_fn=collate)
        np.testing.assert_array_equal(batch["video"], expected["video"])


def test_a_failed_read_is_tried_again(caches, served, monkeypatch):
    url, _ = served
    row = open_catalog(url).records[11]
    monkeypatch.setattr(storage, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(Ranges, "failing", [None] * 2)
    read_header.cache_clear()
    assert read_clip(row.path, [0, 11]).shape == (2, 32, 40, 3)
    assert not Ranges.failing


def test_a_server_that_ignores_ranges_is_refused(caches, tmp_path):
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    (tmp_path / "data.bin").write_bytes(bytes(5000))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = Path(f"http://127.0.0.1:{server.server_port}/data.bin")
        with pytest.raises(ValueError, match="sends whole files instead of the byte ranges"):
            read_pieces(url, [10], [20])
        with pytest.raises(ValueError, match="sends whole files instead of the byte ranges"):
            read_header(ShardEntry(url, 512, 100))
        server.shutdown()


@pytest.mark.slow
def test_a_server_that_falls_silent_is_given_up(monkeypatch):
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    monkeypatch.setattr(storage, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(storage, "PAUSE_SECONDS", 0.01)
    silent = socket.create_server(("127.0.0.1", 0))  # accepts, and never answers
    url = Path(f"http://127.0.0.1:{silent.getsockname()[1]}/data.bin")
    with silent, pytest.raises(OSError, match=r"sent nothing for 0.5 seconds"):
        read_pieces(url, [10], [20])


def test_a_missing_shard_or_cache_is_one_sentence(caches, served, tmp_path, capsys, monkeypatch):
    url, _ = served
    row = open_catalog(url).records[0]
    monkeypatch.setattr(storage, "PAUSE_SECONDS", 0)
    for name in ("shard-000099.tar", "shard-000088.tar"):
        with pytest.raises(VideoError, match=f"{name} cannot be read"):
            read_clip(row.path.parent.with_name(name) / row.path.name, [0])
    with pytest.raises(ValueError, match=r"bucket/empty .*rows\.jsonl"):
        open_catalog("memory://bucket/empty")
    assert main(["cache", str(tmp_path), "nosuch://bucket"]) == 1
    assert "holds no videos" in capsys.readouterr().err
