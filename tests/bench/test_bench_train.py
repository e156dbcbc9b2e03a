"""``bench train``: ratios are of the same round, slow candidates are not timed again, memory is that of the step."""

from types import SimpleNamespace

import pytest

from vmae_zoo.bench import candidates, step_memory, train
from vmae_zoo.cli.main import main

SETTING = candidates.Setting("tiny", 1, "cpu", "float32", False)


@pytest.fixture
def fakes(monkeypatch):
    """Candidates that take no time; the times of their steps come from here."""
    clock = {
        "VideoMAE": iter([2.0, 1.0, 2.0, 4.0]),
        "transformers-sdpa": iter([7.9, 1.5, 3.0, 6.0]),
        "MoCoV3": iter([20.0]),
    }
    monkeypatch.setattr(
        candidates, "build", lambda name, setting: SimpleNamespace(name=name, step=lambda: None, model=None, batch=None)
    )
    monkeypatch.setattr(train, "timed", lambda candidate: train.Seconds(0.0, 0.1, next(clock[candidate.name])))
    monkeypatch.setattr("vmae_zoo.training.flops.flops_per_clip", lambda model, batch: 3e9)
    monkeypatch.setattr(step_memory, "measure_in_subprocess", lambda name, _: {"mb": 9, "mb_beside_weights": 2})


def test_ratios_are_of_the_same_round_and_a_clip(fakes):
    result = train.compare(["VideoMAE", "transformers-sdpa", "MoCoV3"], SETTING, 3)
    ours, theirs, slow = result["rows"]
    assert (ours["ms"], ours["ms_spread"], ours["ratio"]) == (2000, [1000, 4000], 1)
    assert (theirs["ratio"], theirs["ratio_interval"]) == (1.5, [1.5, 1.5])
    assert theirs["gflop_per_clip"] is None
    assert ours["tflop_per_second"] == pytest.approx(0.0015, abs=1e-3)
    assert (slow["steps"], slow["clips"], slow["ms"]) == (1, 2, 20000)
    assert slow["ratio"] == 20 / 2 / 2
    lines = train.table(result).splitlines()
    assert "1.50 (1.50-1.50)" in lines[3]
    assert "MoCoV3 (2 clips)" in lines[4]
    assert "(once)" in lines[4]


@pytest.mark.parametrize(("count", "cut"), [(10, 1), (5, 0), (30, 9)])
def test_the_interval_covers_the_median_in_95_of_100_cases(count, cut):
    assert train.interval([float(n) for n in range(count)]) == [cut, count - 1 - cut]


def test_a_step_is_split_into_copying_launching_and_waiting(monkeypatch):
    clock = [0.0]

    def takes(seconds):
        clock[0] += seconds

    candidate = SimpleNamespace(
        setting=candidates.Setting("tiny", 1, "cuda", "float32", False),
        copy_to_device=lambda: takes(1.0),
        step=lambda: takes(2.0),
    )
    waits = iter([0.0, 0.5, 7.0])  # of the device before the start, behind the move, behind the step
    monkeypatch.setattr("torch.cuda.synchronize", lambda: takes(next(waits)))
    monkeypatch.setattr(train.time, "perf_counter", lambda: clock[0])
    assert train.timed(candidate) == train.Seconds(data=1.5, host=2.0, step=9.0)


@pytest.mark.slow
def test_memory_is_weights_gradients_moments_and_activations():
    setting = candidates.Setting("tiny", 1, "cpu", "float32", False)
    weights = sum(p.nbytes for p in candidates.build("VideoMAE", setting).model.parameters()) / 1e6
    found = step_memory.measure_in_subprocess("VideoMAE", setting)  # in a process of its own
    assert found["mb"] is not None
    assert found["mb_beside_weights"] is not None
    assert found["mb"] > 4 * weights
    assert found["mb"] - found["mb_beside_weights"] == pytest.approx(4 * weights, rel=0.2)
    assert 10 < found["mb_beside_weights"] < 1000


def test_an_unknown_candidate_is_named(capsys):
    assert main(["bench", "train", "AlexNet"]) == 1
    assert "AlexNet" in capsys.readouterr().err
    assert main(["bench", "train", "VideoMAE", "--rounds", "0"]) == 1
    assert "--rounds = 0" in capsys.readouterr().err
