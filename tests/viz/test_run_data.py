"""Runs side by side: what differs, curves, probes, and a page that needs nothing from elsewhere."""

import json
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from vmae_zoo.cli.main import main
from vmae_zoo.evaluation.report import write_report
from vmae_zoo.viz.curves import line_chart, sparkline, ticks
from vmae_zoo.viz.run_data import RunData, differences, flatten

SCORES = {"top1": 25.0, "top1_low": 15.0, "top1_high": 38.0}


def make_run(root, moment, lr, name=None, tags=None):
    folder = root / "runs" / "videomae" / moment
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").touch()
    (folder / "recipe.yaml").write_text(
        json.dumps(
            {
                "name": name,
                "tags": tags,
                "model": {"class_path": "vmae_zoo.VideoMAE", "init_args": {"lr": lr, "depth": 2}},
                "data": {"root": "videos", "fps": [30.0]},
            }
        )
    )
    metrics = {"loss/val": 0.5 + lr, "throughput/clips_per_s": 12.0}
    versions = {"vmae_zoo": "0.1.0", "torch": "2.14.1"}
    summary = {"state": "finished", "steps": 30, "seconds": 7200, "metrics": metrics, "versions": versions}
    (folder / "summary.json").write_text(json.dumps(summary))
    rows = [f"{step},{1 - lr * step},\n" for step in range(0, 30, 10)]
    (folder / "metrics.csv").write_text("".join(["step,loss/train,loss/val\n", *rows, "25,,nan\n", "3"]))  # cut short
    (folder / "pictures").mkdir()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(folder / "pictures" / "step-000030.png")
    return folder


@pytest.fixture
def runs(tmp_path):
    first = make_run(tmp_path, "20260101-000000", 0.01, "slow", "sweep, night")
    second = make_run(tmp_path, "20260102-000000", 0.02)
    result = {
        "subcommand": "knn",
        "title": "knn: slow on videos",
        "checkpoint": str(first / "checkpoints" / "last.ckpt"),
        "data": "/data/videos",
        "classes": ["walk", "run & jump"],
        "scores": SCORES,
        "confusion": [[7, 3], [2, 8]],
        "baselines": {"single frame": {"top1": 12.0, "top1_low": 6.0, "top1_high": 22.0}},
        "runs": [],
    }
    write_report(tmp_path / "runs" / "knn" / "20260103-000000", result, result["confusion"], result["classes"])
    return first, second


def test_a_run_is_read(runs):
    one = RunData(runs[0])
    assert (one.name, one.tags) == ("slow", ["sweep", "night"])
    assert one.settings["model"] == "VideoMAE"
    assert one.settings["model.lr"] == 0.01
    assert dict(one.curves["loss/train"]) == pytest.approx({0: 1.0, 10: 0.9, 20: 0.8})
    assert not one.curves["loss/val"]  # not finite
    assert [result["confusion"] for result in one.probes] == [[[7, 3], [2, 8]]]
    assert RunData(runs[1]).name == "videomae/20260102-000000"
    assert not RunData(runs[1]).probes
    assert one.metric("loss/val") == 0.51
    assert one.metric("loss/train") == pytest.approx(0.8)


def test_a_probe_of_a_former_version_is_read(runs):
    file = runs[0].parents[1] / "knn" / "20260103-000000" / "result.json"
    file.write_text(file.read_text().replace('"subcommand"', '"verb"'))
    assert [result["subcommand"] for result in RunData(runs[0]).probes] == ["knn"]


def test_only_what_differs_is_listed(runs):
    assert differences([RunData(run) for run in runs]) == {"model.lr": ["0.01", "0.02"]}
    assert flatten({"model": {"class_path": "a.B", "init_args": {"x": {}}}}) == {"model": "B", "model.x": {}}


def test_runs_lists_names_tags_settings_and_probes(runs, capsys):
    assert main(["runs", str(runs[0].parents[1])]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "slow  tags: sweep, night"
    assert lines[2] == "model.lr 0.01"
    assert lines[3] == "knn on videos: top-1 25.0 % (15.0 to 38.0)"
    assert lines[5] == "model.lr 0.02"


def test_a_damaged_probe_is_left_out_and_named_where_it_is_asked_for(runs, capsys):
    result = runs[0].parents[1] / "knn" / "20260103-000000" / "result.json"
    for text in ("", '{"checkpoint": "x", "da', "[1]", "{}"):
        result.write_text(text)
        assert main(["runs", str(runs[0].parents[1])]) == 0
        assert "knn" not in capsys.readouterr().out
        assert main(["compare", str(result.parent)]) == 1
        assert f"{result} is damaged" in capsys.readouterr().err


def test_compare_prints_and_draws(runs, tmp_path, capsys):
    out, numbers = tmp_path / "c.svg", tmp_path / "c.json"
    assert main(["compare", *map(str, runs), "--out", str(out), "--json", str(numbers)]) == 0
    printed = capsys.readouterr().out
    for part in ("model.lr  0.01  0.02", "loss/train", "0.8 at step 20", "25.0 % (15.0 to 38.0)", "1. slow"):
        assert part in printed
    drawn = ElementTree.fromstring(out.read_text())
    lines = [each for each in drawn.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 2
    assert len({line.get("stroke-dasharray") for line in lines}) == 2  # told apart without color
    found = json.loads(numbers.read_text())
    assert found["differences"] == {"model.lr": ["0.01", "0.02"]}
    assert found["runs"][1]["curves"]["loss/train"][-1] == [20, pytest.approx(0.6)]


def test_the_report_needs_nothing_from_elsewhere(runs, tmp_path, capsys):
    out = tmp_path / "deep" / "report.html"
    assert main(["report", *map(str, runs), "--out", str(out), "--title", "A < B"]) == 0
    page = out.read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:)|url\(|<script|@import", page)
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Runs",
        "Settings that differ",
        "Curves",
        "Reconstructions",
        "Probes",
        "Throughput",
        "Settings",
        "Versions",
    ]
    for part in (
        "A &lt; B",
        "data:image/webp;base64,",
        "run &amp; jump",
        "25.0 % (15.0 to 38.0)",
        "2.14.1",
        "2.0 h",
    ):
        assert part in page
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)


def test_a_report_of_runs_that_did_not_end_well(runs, tmp_path):
    (runs[0] / "summary.json").write_text('{"state": "running"}')
    (runs[1] / "summary.json").write_text('{"state": ')
    for run in runs:
        (run / "checkpoints" / "last.ckpt").unlink()
    out = tmp_path / "report.html"
    assert main(["report", *map(str, runs), "--out", str(out), "--video", "clip.mp4"]) == 0
    for state in ("dead", "damaged"):
        assert f"<td>{state}</td>" in out.read_text()


def test_a_folder_that_is_neither_run_nor_probe_is_refused(tmp_path, capsys):
    for command in ("compare", "report"):
        assert main([command, str(tmp_path)]) == 1
        assert "summary.json" in capsys.readouterr().err


def test_charts_hold_for_odd_curves():
    for curve in ([], [(0, 1.0)], [(0, 2.0), (5, 2.0)], [(step, float(step)) for step in range(5000)]):
        ElementTree.fromstring(line_chart("x < y", {"one": curve}, ["one"]))
    assert sparkline([(0, 0.0), (1, 1.0)], columns=2) == "▁█"
    assert ticks(0.0, 1.0) == [0, 0.2, 0.4, 0.6, 0.8, 1]
