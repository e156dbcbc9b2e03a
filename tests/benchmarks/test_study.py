"""The study's machinery, on a set and with runs that are too small to find anything."""

import csv
import json

import pytest
from benchmarks.study import Row, over_seeds, plots, run_row, table, write_subset

from benchmarks import study
from vmae_zoo.cli.main import main
from vmae_zoo.training.metrics import wilson


def test_rows_have_names_of_their_own_and_pretraining_comes_before_finetuning():
    names = [row.name for row in study.rows()]
    assert len(set(names)) == len(names)
    for row in study.rows():
        assert row.start is None or names.index(row.start) < names.index(row.name)


def test_a_subset_is_balanced_and_holds_the_same_clips_back_for_every_seed(tmp_path):
    subsets = []
    for seed in (0, 1):
        row = study.finetuning("scratch", "motion", 40, 500, 1e-3, seed)
        write_subset(tmp_path / f"{seed}.csv", "demo_small", row, held_back=60)
        with (tmp_path / f"{seed}.csv").open() as file:
            subsets.append(list(csv.DictReader(file)))
    for clips in subsets:
        train = [clip["motion"] for clip in clips if clip["split"] == "train"]
        assert {train.count(motion) for motion in train} == {4}
        assert len(set(train)) == 10
    first, second = (
        {split: {c["path"] for c in clips if c["split"] == split} for split in ("train", "val", "test")}
        for clips in subsets
    )
    assert first["train"] != second["train"]
    assert (first["val"], first["test"]) == (second["val"], second["test"])
    assert len(first["val"]) == 60
    assert not first["val"] & first["train"]
    assert all("test_" in path for path in first["test"])
    assert not any("test_" in path for path in first["val"] | first["train"])


def in_this_process(*arguments):
    """Instead of a process, whose imports take longer than the run."""
    assert main([str(argument) for argument in arguments]) == 0


@pytest.mark.slow
def test_a_row_runs_once_and_an_interrupted_one_goes_on(tmp_path, monkeypatch):
    short = {"trainer.max_steps": 2, "trainer.max_epochs": -1, "trainer.limit_val_batches": 1}
    row = Row("pretrain-videomae-1", "recipes/videomae.yaml", 1, short, ("knn",), ("speed",))
    monkeypatch.setattr(study, "program", in_this_process)
    run_row(row, tmp_path, "demo_small")
    result = json.loads((tmp_path / row.name / "result.json").read_text())
    assert set(result["knn/speed"]) == {"this encoder", "random weights", "single frame", "frame difference"}
    monkeypatch.setattr(study, "program", None)  # nothing is left to run
    assert run_row(row, tmp_path, "demo_small") == result
    (tmp_path / row.name / "result.json").unlink()
    assert run_row(row, tmp_path, "demo_small") == result
    assert f"| pretrain-videomae | 1 | knn/speed | {over_seeds([result['knn/speed']['this encoder']])} |" in table(
        tmp_path
    )


def test_seeds_share_the_interval_of_the_clips_that_all_are_tested_on():
    low, high = (100 * end for end in wilson(25, 100))
    scores = [{"top1": 20.0, "videos": 100}, {"top1": 30.0, "videos": 100}]
    assert over_seeds(scores) == f"25.0 ({low:.1f}-{high:.1f}); 20.0, 30.0"


def test_the_plot_has_a_line_for_each_start_and_seed_with_the_rate_that_the_held_back_clips_chose():
    accuracies = {
        ("500", "0.001"): (20, 31),
        ("500", "0.01"): (10, 32),
        ("2000", "0.001"): (40, 41),
        ("2000", "0.01"): (50, 52),
    }
    results = [
        {"row": f"finetune-scratch-glyph-400-{steps}-{rate}-1", "top1/val": val, "test": {"top1/test": test}}
        for (steps, rate), (val, test) in accuracies.items()
    ]
    drawn = plots([*results, {**results[0], "row": "finetune-scratch-glyph-100-500-0.001-1"}])
    assert "scratch, seed 1" in drawn
    assert "glyph, 400 labels" in drawn
    assert "100 labels" not in drawn  # a single number of steps is no line
    assert drawn == plots(results[:1] + results[3:])  # 31 after 500 steps, 52 after 2,000
