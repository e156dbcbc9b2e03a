"""Windows cover a video, files hold what the encoder gives, and exported programs equal their model."""

import itertools
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from vmae_zoo.cli.main import main
from vmae_zoo.data.clip_spec import ClipSpec
from vmae_zoo.data.windows import Windows, window_starts
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.evaluation.export import export
from vmae_zoo.evaluation.extract import output_name
from vmae_zoo.evaluation.features import FeatureExtractor
from vmae_zoo.masking import TokenGrid
from vmae_zoo.methods import Classifier
from vmae_zoo.models.encoder import Encoder
from vmae_zoo.video.decode import read_clip
from vmae_zoo.zoo import load_pretrained

TINY = {"frames": 4, "stride_frames": 2, "image_size": 32, "width": 24, "depth": 1, "num_heads": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory, encode):
    root = tmp_path_factory.mktemp("extract")
    encode(root / "videos" / "long.mp4", frames=40, size=(32, 32))
    encode(root / "videos" / "short.mp4", frames=5, size=(32, 48))
    (root / "videos" / "broken.mp4").write_text("no video")
    torch.manual_seed(0)
    classifier = Classifier(classes=["a", "b", "c"], **TINY)
    torch.nn.init.normal_(classifier.head.weight)
    torch.save({"state_dict": classifier.state_dict(), "vmae_zoo": classifier.export_config()}, root / "c.ckpt")
    return root


def call(place, out, *more):
    return main(["extract", "--checkpoint", str(place / "c.ckpt"), "--root", str(place / "videos"), "--out", str(out),
                 "--device", "cpu", "--batch-size", "3", *more])  # fmt: skip


@pytest.mark.parametrize(("total", "hop"), [(1, 5), (7, 1), (8, 3), (40, 8), (41, 7), (500, 64)])
def test_windows_cover_the_video_from_its_first_frame_to_its_last(total, hop):
    starts = window_starts(total, length=7, hop=hop)
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    if total >= 7:
        assert starts[-1] + 6 == total - 1
        assert all(second - first <= hop for first, second in itertools.pairwise(starts))
    else:
        assert starts == [0]


def read(file):
    if file.suffix == ".safetensors":
        return load_file(file)
    if file.suffix == ".npz":
        return np.load(file)
    table = pytest.importorskip("pyarrow.parquet").read_table(file)
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def test_batches_are_filled_across_videos_by_any_number_of_workers(place, tmp_path, monkeypatch):
    sizes, encode = [], FeatureExtractor.__call__
    monkeypatch.setattr(FeatureExtractor, "__call__", lambda run, clips: sizes.append(len(clips)) or encode(run, clips))
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (9, 9), 0)  # its threads run, then wait: workers are not to
    time.sleep(0.3)
    for workers in ("0", "2"):
        assert call(place, tmp_path / workers, "--hop", "10", "--batch-size", "4", "--workers", workers) == 0
    assert sizes[:2] in ([4, 2], [3, 3])  # 5 windows of one video and 1 of the other; a broken one takes a place
    for name in ("long.mp4", "short.mp4"):
        found = [load_file(tmp_path / workers / f"{name}.safetensors") for workers in ("0", "2")]
        for part in ("start", "features"):
            np.testing.assert_allclose(found[0][part], found[1][part], atol=1e-6)


@pytest.mark.parametrize("form", ["safetensors", "npz", "parquet"])
def test_files_hold_what_the_encoder_gives(form, place, tmp_path, monkeypatch):
    assert call(place, tmp_path, "--hop", "10", "--format", form) == 0
    index = json.loads((tmp_path / "index.json").read_text())["videos"]
    assert {line["video"]: line.get("windows") for line in index} == {"broken.mp4": None, "long.mp4": 5, "short.mp4": 1}
    file = tmp_path / f"long.mp4.{form}"
    found = read(file)
    assert found["start"].tolist() == [0, 10, 20, 30, 33]
    encoder = load_pretrained(place / "c.ckpt")
    for start, feature in zip(found["start"], found["features"], strict=True):
        clip = torch.from_numpy(read_clip(place / "videos" / "long.mp4", start + 2 * np.arange(4)))
        video = encoder.normalizer(clip.permute(3, 0, 1, 2)[None])
        expected = encoder.pool(encoder(video))[0].detach().numpy()
        np.testing.assert_allclose(feature, expected, atol=1e-5)
    monkeypatch.setattr("vmae_zoo.evaluation.features.FeatureExtractor.__call__", None)  # nothing is left to compute
    video = (place / "videos" / "long.mp4").read_bytes()
    (place / "videos" / "long.mp4").write_text("no video any more, but its features are complete")
    assert call(place, tmp_path, "--hop", "10", "--format", form) == 0
    (place / "videos" / "long.mp4").write_bytes(video)
    assert json.loads((tmp_path / "index.json").read_text())["videos"] == index


def test_tokens_and_what_does_not_belong_together(place, tmp_path, capsys):
    assert call(place, tmp_path, "--pool", "tokens") == 0
    tokens = load_file(tmp_path / "short.mp4.safetensors")["features"]
    assert tokens.shape == (1, 8, 24)
    assert call(place, tmp_path / "table", "--pool", "tokens", "--format", "parquet") == 0
    assert np.array_equal(read(tmp_path / "table" / "short.mp4.parquet")["features"], tokens)
    assert call(place, tmp_path, "--pool", "mean") == 1
    assert "holds features of another encoder or other settings" in capsys.readouterr().err
    assert call(place, tmp_path / "other", "--hop", "0") == 1
    assert "--hop = 0" in capsys.readouterr().err
    assert call(place, place / "c.ckpt") == 1
    assert "c.ckpt is a file: name a folder" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "kind"), [("pt2", "divided"), *(("onnx", kind) for kind in ("encoder", "classifier", "divided"))]
)
def test_exported_programs_equal_the_model(form, kind, place, tmp_path):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    if kind == "divided":
        model = Encoder(TokenGrid(2, 2, 2), 24, 1, 2, bias="qkv", attention="divided", cls_token=True)
    else:
        model = load_pretrained(place / "c.ckpt", task="classify" if kind == "classifier" else "encoder")
    assert export(model, tmp_path / f"m.{form}") < 1e-4
    about = json.loads((tmp_path / "m.json").read_text())
    assert about["classes"] == (["a", "b", "c"] if kind == "classifier" else [])


@pytest.mark.slow
def test_the_export_command_and_its_errors(place, tmp_path, capsys):
    common = ["export", "--checkpoint", str(place / "c.ckpt")]
    assert main([*common, "--task", "classify", "--out", str(tmp_path / "m.pt2")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "m.pt2")
    assert json.loads((tmp_path / "m.json").read_text())["classes"] == ["a", "b", "c"]
    assert main([*common, "--out", str(tmp_path / "m.zip")]) == 1
    assert "m.zip" in capsys.readouterr().err


def test_what_an_extra_brings_is_named_where_it_is_missing(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vmae_zoo.evaluation.extract.find_spec", lambda name: None)
    assert call(place, tmp_path / "features", "--format", "parquet") == 1
    assert "Parquet needs pyarrow, which is not installed: pip install 'vmae-zoo[parquet]'" in capsys.readouterr().err
    assert not (tmp_path / "features").exists()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", "--checkpoint", str(place / "c.ckpt"), "--out", str(tmp_path / "m.onnx")]) == 1
    assert "ONNX needs onnxruntime, which is not installed: pip install 'vmae-zoo[export]'" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("form", ["safetensors", "npz", "parquet"])
def test_a_matrix_holds_every_window_with_the_id_of_its_video(form, place, tmp_path):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    out, file = tmp_path / "features", tmp_path / "all.npz"
    assert call(place, out, "--format", form, "--hop", "2", "--matrix", str(file)) == 0
    with np.load(file) as matrix:
        features, videos, starts = matrix["features"], matrix["video"], matrix["start"]
    index = json.loads((out / "index.json").read_text())["videos"]
    readable = [entry for entry in index if "file" in entry]
    assert features.shape == (sum(entry["windows"] for entry in readable), 24)
    assert features.dtype == np.float32
    for entry in readable:
        rows = videos == entry["video"]
        assert rows.sum() == entry["windows"]
        assert starts[rows][0] == 0
        if form == "safetensors":
            np.testing.assert_array_equal(features[rows], load_file(out / entry["file"])["features"])


def test_a_matrix_of_tokens_is_refused(place, tmp_path, capsys):
    assert call(place, tmp_path / "f", "--pool", "tokens", "--matrix", str(tmp_path / "all.npz")) == 1
    assert "--pool" in capsys.readouterr().err


def test_no_id_leads_out_of_the_folder():
    odd = ["../../a.mp4", "/etc/a.mp4", "etc/a.mp4", "a/../../b.mp4", "..\\..\\c.mp4", "C:/d.mp4", "./a.mp4", "a.mp4"]
    odd += ["x" * 300 + ".mp4", "elsewhere/a.mp4", "../a.mp4#0-1", "a\udce9.mp4", "//a.mp4"]
    names = [output_name(video, "npz") for video in odd]
    assert len(set(names)) == len(odd)
    for name in names:
        assert Path("/out", name).resolve().is_relative_to("/out")
        assert ".." not in Path(name).parts
        assert "\\" not in name
        assert all(len(part) < 255 for part in Path(name).parts)
    assert output_name("run/a.mp4#0-1", "npz") == "run/a.mp4#0-1.npz"


def test_windows_of_a_variable_rate_are_evenly_spaced_in_time(tmp_path, encode):
    """40 frames at 25 per second, then 37 at 3.6; windows of 16 frames at 5 per second are 3.2 s long."""
    times = [40 * k for k in range(40)] + [1600 + 280 * k for k in range(37)]
    video = encode(tmp_path / "a.mkv", frames=77, times=times, size=(32, 32))
    windows = Windows(ClipRecord("a", video), ClipSpec(16, 1, 32, "span", (5.0,)))
    shown_WT = np.array(times)[windows.ids] / 1000
    first_W = shown_WT[:, 0]
    assert len(windows) == 4  # 11.7 s, and one that ends with the video
    assert first_W[0] == 0
    assert np.diff(first_W)[:2] == pytest.approx(3.2, abs=0.3)
    wanted_WT = first_W[:, None] + np.arange(16) * 0.2
    assert np.abs(shown_WT - wanted_WT)[:-1].max() <= 0.28 + 1 / 6.46  # a frame, and one at the mean rate
    assert windows.ids[-1, -1] >= 75
