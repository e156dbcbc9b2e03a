"""The plan for many GPUs: its parts against formulas, its simulation against what can be said without one."""

import json
from dataclasses import replace

import pytest
from benchmarks.scaling import SOURCES, Cluster, Model, Source, fed_seconds, model_of, plan, step_seconds

from benchmarks import scaling

EVEN = Cluster(spread=1e-4)  # videos that all take as long


@pytest.mark.slow
def test_the_arithmetic_of_base_is_the_published_one_less_the_embedding_of_hidden_cubes():
    whole = 3 * 2 * 35.44e9  # GMAC as counted from the paper's architecture, forward and backward
    embedding = 3 * 2 * (1568 - 160) * 1536 * 768 * 2 / 3  # of hidden cubes; pixels take no gradient
    assert model_of("base").flops == pytest.approx(whole - embedding, rel=0.02)


@pytest.mark.parametrize("rate", [1.0, 10.0, 100.0])
def test_even_videos_give_the_slower_of_step_and_loaders(rate):
    step, videos = 0.5, 32
    loaders = videos / (rate * EVEN.cores)
    assert fed_seconds(step, EVEN, Source(rate, 1, 1), 8, videos) == pytest.approx(max(step, loaders), rel=0.05)


def test_uneven_videos_cost_time_where_loaders_are_just_fast_enough_and_more_so_on_more_gpus():
    step, videos = 0.5, 8
    source = Source(videos / (step * Cluster().cores), 1, 1)
    alone, many = (fed_seconds(step, replace(Cluster(), spread=2.0), source, gpus, videos) for gpus in (1, 256))
    assert step < alone < many


def test_gradients_that_fit_behind_the_backward_pass_cost_nothing_and_others_do():
    model = Model(flops=2e11, parameters=10**8, blocks=16, repeats=1)
    assert step_seconds(model, Cluster(), 64, clips=256)["exposed"] == 0
    slow = step_seconds(model, Cluster(net_gbps=1.0), 64, clips=1)
    ring = 2 * 4 * 10**8 * 63 / 64 / 1e9
    assert slow["network"] == pytest.approx(ring, rel=0.01)
    assert slow["exposed"] == pytest.approx(ring - 2 / 3 * slow["compute"], rel=0.01)


def test_a_row_adds_up():
    row = plan("base", "k400-1600", 64, "reencoded", Cluster(), 2048)
    assert row["clips_per_gpu"] == 32
    assert sum(row["share"].values()) == pytest.approx(1, abs=0.01)
    assert row["hours"] * 3600 * row["clips_per_second"] == pytest.approx(240_436 * 1600, rel=0.05)
    assert row["storage_tb"] == pytest.approx(240_436 * SOURCES["reencoded"].disk_mb / 1e6, abs=0.01)


def test_storage_that_is_too_slow_is_said():
    assert plan("base", "k400-1600", 64, "cached", Cluster(storage_gbps=1), 2048)["share"]["storage"] > 0.5


def test_the_command_prints_what_it_assumes_and_refuses_what_cannot_be(command, tmp_path, capsys):
    options = ["--sizes", "base", "--gpus", "8", "--sources", "cached", "--data", "k400-1600"]
    assert command(scaling, [*options, "--mfu", "0.5", "--json", str(tmp_path / "plan.json")]) == 0
    assert "mfu 0.5" in capsys.readouterr().out
    assert json.loads((tmp_path / "plan.json").read_text())["rows"][0]["gpus"] == 8
    assert command(scaling, [*options, "--device", "H900"]) != 0
    assert command(scaling, [*options, "--global-batch", "4"]) != 0
