import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.methods.small import CASES, SMALL
from tests.small_run import SMALL_RUN

from vmae_zoo.callbacks import null_report
from vmae_zoo.callbacks.null_report import NullReport, null_line
from vmae_zoo.cli.main import main
from vmae_zoo.methods import VideoMAE


def run(monkeypatch, tmp_path, **settings):
    monkeypatch.chdir(tmp_path)
    given = {**SMALL_RUN, "data.root": "synthetic:demo_small", "trainer.max_steps": 9, "trainer.val_check_interval": 3}
    given |= {"data.global_batch": 16, "data.batch_size": 16, "model.patch": 8, **settings}
    assert main(["fit", *(f"--{name}={value}" for name, value in given.items())]) == 0


def fit(monkeypatch, tmp_path, **settings):
    run(monkeypatch, tmp_path, **settings)
    (summary,) = Path("runs").glob("*/*/summary.json")
    return json.loads(summary.read_text())["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize(("plateau", "notices"), [(null_report.PLATEAU, 1), (100.0, 0)])
def test_a_run_that_has_learned_nothing_prints_its_nulls_and_one_notice(
    monkeypatch, tmp_path, capsys, plateau, notices
):
    monkeypatch.setattr(null_report, "PLATEAU", plateau)
    metrics = fit(monkeypatch, tmp_path, **{"model.lr": 1e-9})
    out = capsys.readouterr().out
    assert out.count("plateau: after 3 of 9 steps") == notices
    assert "place mean -" in out  # a tube mask leaves no place with a visible time
    names = {name.removeprefix("loss/val_over_") for name in metrics if name.startswith("loss/val_over_")}
    assert names == {"zero", "clip_mean", "copy"}
    line = next(line for line in out.splitlines() if line.startswith("validation loss over nulls: "))
    assert line == null_line({name: metrics[f"loss/val_over_{name}"] for name in names})


@pytest.mark.slow
def test_a_fast_dev_run_prints_no_notice(monkeypatch, tmp_path, capsys):
    run(monkeypatch, tmp_path, **{"model.lr": 1e-9, "trainer.fast_dev_run": "true"})
    assert "plateau" not in capsys.readouterr().out


def test_the_best_null_is_the_one_that_the_loss_is_nearest_to():
    assert null_line({"zero": 0.7, "clip_mean": 0.9, "copy": 0.8}).endswith("best null: clip mean, beaten")
    assert null_line({"zero": 0.7, "clip_mean": 1.1, "copy": 0.8}).endswith("best null: clip mean, not beaten")


@pytest.mark.parametrize(
    ("ratios", "warned"),
    [
        ([0.9, 1.3, 1.5, 1.4, 1.6, 1.7], 1),  # above the best null and not falling: once
        ([1.9, 1.7, 1.5, 1.3, 1.1, 0.9], 0),  # falling
        ([0.9, 1.3, 1.5, 0.9, 1.3, 1.5], 0),  # not in a row
        ([float("nan")] * 6, 1),
        ([1.9, 1.9, 1.9], 0),  # the first is within the warm-up
    ],
)
def test_a_loss_that_stays_above_its_best_null_after_the_warm_up_is_warned_of_once(monkeypatch, ratios, warned):
    monkeypatch.setattr(null_report, "total_steps", lambda trainer: None)
    method, report = VideoMAE(**SMALL, **CASES["VideoMAE"]), NullReport()
    monkeypatch.setattr(method, "run_length", lambda: SimpleNamespace(warmup_steps=10))
    trainer = SimpleNamespace(state=SimpleNamespace(fn="fit"), is_global_zero=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number, ratio in enumerate(ratios, start=1):
            trainer.global_step = 10 * number
            trainer.callback_metrics = {"loss/val_over_zero": ratio / 2, "loss/val_over_clip_mean": ratio}
            report.on_validation_end(trainer, method)
    assert sum("diverged" in str(warning.message) for warning in caught) == warned
