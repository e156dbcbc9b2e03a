"""Two processes read the same clips as one, and one process resumes a run of two."""

import json
import runpy
import sys

import pytest
from tests.two_processes import started

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys
from pathlib import Path
import lightning, torch
from vmae_zoo.data import ClipDataModule

class Diary(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.keys, self.validated = [], []
    def training_step(self, batch, batch_idx):
        self.keys += batch["key"].tolist()
        return self.layer(batch["video"].float().mean().view(1)).sum()
    def validation_step(self, batch, batch_idx):
        self.validated += batch["key"].tolist()
        clips = len(batch["key"]) * self.trainer.world_size  # Lightning averages it as an integer
        self.log("mean", batch["video"].float().mean(), sync_dist=True, batch_size=clips)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)

root, out, devices, checkpoint = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] or None
sources = json.loads(sys.argv[5])
trainer = lightning.Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=-1,
    max_steps=8 if checkpoint else 3, val_check_interval=1, check_val_every_n_epoch=None, logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
)
module = Diary()
clips = ClipDataModule(
    root, frames=2, stride_frames=1, size=16, batch_size=2, global_batch=4, crop="centre", workers=0, sources=sources
)
trainer.fit(module, clips, ckpt_path=checkpoint)
trainer.save_checkpoint(out / f"{devices}.ckpt")
mean = float(trainer.callback_metrics.get("mean", 0))
report = [module.keys, module.validated, mean]
(out / f"{devices}-{trainer.global_rank}.json").write_text(json.dumps(report))
"""


MIX = [{"root": "train/a", "weight": 1.5}, {"root": "train/b", "weight": 0.5}, {"root": "val", "layout": "flat"}]


@pytest.mark.parametrize("sources", [None, MIX], ids=["one set", "a mix"])
def test_two_processes_share_each_step_and_one_resumes_their_run(small_set, tmp_path, monkeypatch, sources):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)

    def arguments(name, processes, checkpoint=""):
        (tmp_path / name).mkdir()
        return [str(script), str(small_set), str(tmp_path / name), str(processes), str(checkpoint), json.dumps(sources)]

    def alone(name, checkpoint=""):
        monkeypatch.setattr(sys, "argv", arguments(name, 1, checkpoint))
        runpy.run_path(str(script))
        return json.loads((tmp_path / name / "1-0.json").read_text())

    started(script, *arguments("two", 2)[1:], folder=tmp_path)
    ranks = [json.loads((tmp_path / f"two/2-{rank}.json").read_text()) for rank in (0, 1)]
    keys, validated, mean = alone("one")

    assert [sorted(ranks[0][0][i : i + 2] + ranks[1][0][i : i + 2]) for i in range(0, 6, 2)] == [
        sorted(keys[i : i + 4]) for i in range(0, 12, 4)
    ]
    if not sources:
        clips = set(validated)
        assert sorted(ranks[0][1] + ranks[1][1]) == sorted([*clips] * 3), "each clip once a validation"
        assert ranks[0][2] == ranks[1][2] == pytest.approx(mean, rel=1e-5)
    assert alone("from two", tmp_path / "two/2.ckpt")[0] == alone("from one", tmp_path / "one/1.ckpt")[0]
