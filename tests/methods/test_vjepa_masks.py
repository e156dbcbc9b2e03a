"""The masks of a run are the same for every number of workers and processes with the same global batch."""

import json
import runpy
import sys

import pytest
from tests.two_processes import started

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys
from pathlib import Path
import lightning
from vmae_zoo.data import ClipDataModule
from vmae_zoo.methods import VJEPA

class Watched(VJEPA):
    def sample_mask(self, batch):
        masks = super().sample_mask(batch)
        for clip, key in enumerate(batch["key"].tolist()):
            ids = [[split.visible[clip].tolist(), split.predicted[clip].tolist()] for split in masks]
            seen.append([self.global_step, key, ids])
        return masks

root, out, devices, workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
seen = []
method = Watched(
    frames=4, image_size=32, patch=8, width=16, depth=1, num_heads=1, predictor_width=16, predictor_depth=1,
    predictor_num_heads=1, warmup_epochs=0,
)
clips = ClipDataModule(
    root, frames=4, stride_frames=1, size=32, batch_size=4 // devices, global_batch=4, crop="centre", workers=workers
)
trainer = lightning.Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_steps=3, logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
)
trainer.fit(method, clips)
(out / f"{trainer.global_rank}.json").write_text(json.dumps(seen))
"""


@pytest.mark.filterwarnings("ignore")
def test_masks_do_not_depend_on_workers_and_processes(small_set, tmp_path, monkeypatch):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)

    def masks_of(processes, workers):
        out = tmp_path / f"{processes}-{workers}"
        out.mkdir()
        arguments = [str(small_set), str(out), str(processes), str(workers)]
        if processes > 1:
            started(script, *arguments, folder=out, processes=processes)
        else:
            monkeypatch.setattr(sys, "argv", [str(script), *arguments])
            runpy.run_path(str(script))
        return sorted(entry for rank in range(processes) for entry in json.loads((out / f"{rank}.json").read_text()))

    expected = masks_of(1, 0)
    assert len(expected) == 12
    assert len({json.dumps(ids) for _, _, ids in expected}) == 12
    for processes, workers in ((1, 2), (1, 4), (2, 0)):
        assert masks_of(processes, workers) == expected
