"""The subcommands go from a checkpoint and a data set to numbers and files, through the front door."""

import argparse
import json
import shutil

import pytest
import torch

from vmae_zoo.cli.main import main
from vmae_zoo.cli.probing import open_data
from vmae_zoo.methods import VideoMAE
from vmae_zoo.training.metrics import wilson

TINY = {"frames": 4, "stride_frames": 2, "image_size": 32, "width": 24, "depth": 1, "num_heads": 2, "mask_ratio": 0.5,
        "decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory, encode):
    """A data set of two classes, that differ in brightness and size of pattern, and a checkpoint."""
    root = tmp_path_factory.mktemp("place")
    for split, count in (("train", 5), ("val", 3)):
        for name, size in (("coarse", (32, 32)), ("fine", (64, 96))):
            for number in range(count):
                encode(root / "data" / split / name / f"{number}.mp4", frames=10 + number, size=size)
    torch.manual_seed(0)
    method = VideoMAE("tiny", **TINY)
    torch.save({"state_dict": method.state_dict(), "vmae_zoo": method.export_config()}, root / "method.ckpt")
    return root


def call(place, tmp_path, subcommand, *more):
    common = ["--checkpoint", str(place / "method.ckpt"), "--cache", str(tmp_path / "cache"), "--device", "cpu",
              "--workers", "0"]  # fmt: skip
    data = ["--data", "recipes/data/folder.yaml", "--data.root", str(place / "data"), "--out", str(tmp_path / "out")]
    return main([subcommand, *common, *data, *more])


@pytest.mark.slow
@pytest.mark.parametrize("subcommand", ["linear-probe", "attentive-probe", "knn"])
def test_a_probe_writes_numbers_intervals_and_pictures(subcommand, place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(place)
    more = ["--checkpoint", "method.ckpt", *(["--epochs", "3"] if subcommand == "attentive-probe" else [])]
    assert call(place, tmp_path, subcommand, *more, "--json", str(tmp_path / "copy.json")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(tmp_path / "out")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result == json.loads((tmp_path / "copy.json").read_text())
    assert result["checkpoint"] == str(place / "method.ckpt")
    scores = result["scores"]
    assert scores["top1_low"] <= scores["top1"] <= scores["top1_high"]
    assert scores["videos"] == 6
    assert result["classes"] == ["coarse", "fine"]
    assert set(result["baselines"]) == {"random weights", "single frame", "frame difference"}
    assert (tmp_path / "out" / "plot.svg").read_text().startswith("<svg")
    assert list((tmp_path / "out").glob("events.out.tfevents*"))
    monkeypatch.setattr(
        "vmae_zoo.evaluation.features.FeatureExtractor.__call__", None
    )  # the second run has no need of the encoder
    assert call(place, tmp_path, subcommand, *more) == 0


@pytest.mark.slow
def test_low_shot_views_and_the_papers_protocol(place, tmp_path):
    assert call(place, tmp_path, "knn", "--fractions", "0.4", "1", "--draws", "2", "--clips", "2", "--crops", "3") == 0
    runs = json.loads((tmp_path / "out" / "result.json").read_text())["runs"]
    assert [(run["fraction"], run["draw"], run["trained_on"]) for run in runs] == [(0.4, 0, 4), (0.4, 1, 4), (1, 0, 10)]
    assert call(place, tmp_path, "linear-probe", "--fractions", "0.1", "1", "--augmented", "2", "--no-baselines") == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [run["fraction"] for run in result["runs"]] == [1]
    assert [(line["fraction"], line["trained_on"]) for line in result["left_out"]] == [(0.1, 2)]  # none to choose by
    assert call(place, tmp_path, "linear-probe", "--fractions", "0.1", "--no-baselines") == 1
    assert call(place, tmp_path, "linear-probe", "--protocol", "videomae-paper", "--epochs", "2", "--no-baselines") == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["runs"][0]["protocol"] == "videomae-paper, not confirmed"


def test_splits_that_share_no_test_video_count_all_of_them(place, tmp_path):
    lines = ["path,label,split1,split2"]
    for video in sorted((place / "data").rglob("*.mp4")):
        split = ("test", "train") if video.stem in "01" else ("train", "test")
        lines.append(",".join([str(video), video.parent.name, *split]))
    (tmp_path / "list.csv").write_text("\n".join(lines))
    data = ["--data", "recipes/data/csv.yaml", "--data.root", str(tmp_path), "--splits", "1", "2", "--no-baselines"]
    assert call(place, tmp_path, "knn", *data) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [run["videos"] for run in result["runs"]] == [8, 8]
    assert result["scores"]["videos"] == 16
    right = round(sum(run["top1"] * run["videos"] for run in result["runs"]) / 100)
    expected = [100 * end for end in wilson(right, 16)]
    assert [result["scores"][end] for end in ("top1_low", "top1_high")] == pytest.approx(expected, abs=1e-3)
    assert call(place, tmp_path, "knn", *data[:-4], "--splits", "1", "1", "--no-baselines") == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["scores"]["videos"] == 8


@pytest.mark.slow
@pytest.mark.parametrize("subcommand", ["linear-probe", "knn"])
def test_another_test_set_changes_the_score_and_nothing_else(subcommand, place, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(place / "data" / "train", other / "train")
    for name, of in (("coarse", "fine"), ("fine", "coarse")):  # the test labels turned round
        shutil.copytree(place / "data" / "val" / of, other / "val" / name)
    found = []
    for root in (place / "data", other):
        assert call(place, tmp_path, subcommand, "--data.root", str(root), "--no-baselines") == 0
        run = json.loads((tmp_path / "out" / "result.json").read_text())["runs"][0]
        left_out = {k: scores["left_out_top1"] for k, scores in run["by_k"].items()} if subcommand == "knn" else None
        found.append((run["top1"], run["chosen"], run.get("tried"), left_out))
    assert found[0][1:] == found[1][1:]
    assert found[0][0] + found[1][0] == pytest.approx(100)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data.root", "nowhere"], "does not exist"),
        (["--device", "abacus"], "--device abacus"),
        (["--fractions", "0"], "--fractions 0"),
        (["--k", "0"], "--k = 0"),
        (["--clips", "0"], "--clips = 0"),
        (["--draws", "0", "--fractions", "0.5"], "--draws = 0"),
        (["--workers", "-1"], "--workers = -1"),
        (["--checkpoint", "nowhere.ckpt"], "nowhere.ckpt: no such file"),
        (["--data", "nowhere.yaml"], "no recipe nowhere.yaml"),
        (["--splits", "7"], "has no numbered splits"),
    ],
)
def test_mistakes_are_one_sentence(more, message, place, tmp_path, capsys):
    assert call(place, tmp_path, "knn", *more) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


DATA = "{root: ROOT, layout: folder}"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (DATA, ""),
        (f"model: VideoMAE\ndata: {DATA}", ""),
        (f"model: VideoMAE\ndata: {{class_path: vmae_zoo.data.ClipDataModule, init_args: {DATA}}}", ""),
        (f"model: VideoMAE\ndata: {{class_path: my.Data, init_args: {DATA}}}", "names the data module my.Data"),
        (f"data: {{sources: [{DATA}]}}", "names several data sets"),
    ],
)
def test_the_data_of_a_recipe_are_those_of_the_probe(recipe, message, place, tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(recipe.replace("ROOT", str(place / "data")))
    args = argparse.Namespace(data=file, root=None, layout=None, split=None, label_column=None)
    if not message:
        assert open_data(args, None).root == place / "data"
        return
    with pytest.raises(ValueError, match=message):
        open_data(args, None)
    args.root = str(place / "data")
    assert open_data(args, None).root == place / "data"


def test_data_without_labels_is_refused(place, tmp_path, capsys, encode):
    encode(tmp_path / "flat" / "one.mp4", frames=10, size=(32, 32))
    assert call(place, tmp_path, "knn", "--data.root", str(tmp_path / "flat")) == 1
    assert "has no labels, which a probe needs" in capsys.readouterr().err
