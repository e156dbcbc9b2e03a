"""Accuracies are in percent, and those of several processes are over all of their videos."""

import json

import pytest
import torch
from tests.two_processes import started

from vmae_zoo.training.metrics import ClassificationMetrics, accuracy_metrics

SCRIPT = """
import json
import torch
from torch import distributed
from vmae_zoo.training.metrics import ClassificationMetrics, accuracy_metrics

distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(0)
values, label = torch.rand(10, 7), torch.randint(7, (10,))
own = slice(0, 3) if rank == 0 else slice(3, 10)
metrics = accuracy_metrics(7)
for row in range(10)[own]:
    metrics.update(values[row : row + 1], label[row : row + 1])
open(f"{rank}.json", "w").write(json.dumps(ClassificationMetrics.compute(metrics).asdict()))
"""


def test_known_predictions_have_their_accuracies():
    label = torch.tensor([0, 0, 0, 1])
    metrics = ClassificationMetrics.of(torch.eye(7)[[0, 0, 3, 2]], label)
    assert (metrics.top1, metrics.mean_class, metrics.videos) == (50, pytest.approx(100 / 3), 4)
    assert metrics.top1_low < 50 < metrics.top1_high


@pytest.mark.parametrize(("classes", "has_top5"), [(5, False), (6, True)])
def test_top5_needs_more_than_five_classes(classes, has_top5):
    metrics = ClassificationMetrics.of(torch.rand(20, classes), torch.arange(20) % classes)
    assert ("top5" in metrics.asdict()) is ("top-5" in metrics.line()) is has_top5


def test_without_videos_there_is_no_accuracy():
    with pytest.raises(ValueError, match="no video"):
        ClassificationMetrics.compute(accuracy_metrics(3))


@pytest.mark.slow
def test_two_processes_have_the_accuracies_of_one(tmp_path):
    (tmp_path / "two.py").write_text(SCRIPT)
    started(tmp_path / "two.py", folder=tmp_path)
    torch.manual_seed(0)
    expected = ClassificationMetrics.of(torch.rand(10, 7), torch.randint(7, (10,))).asdict()
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)] == [expected, expected]
