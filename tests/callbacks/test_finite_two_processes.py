"""Two real processes agree on which step to skip, under ddp and fsdp2, when only one of them saw the bad clip."""

import json
import subprocess
import sys

SCRIPT = """
import json, sys
from pathlib import Path
import lightning, torch
from torch.utils.data import DataLoader
from vmae_zoo.callbacks.finite import FiniteSteps
from vmae_zoo.training.strategy import FSDP2Strategy, shard

class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 2)
    def configure_model(self):
        if self.device_mesh is not None:
            shard(self, [], self.device_mesh)
    def forward(self, x):
        return self.layer(x)
    def training_step(self, batch, batch_idx):
        return self(batch["video"]).square().mean()
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1, fused=True)

class Watch(lightning.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        weight = module.layer.weight.detach()
        seen.append((weight.full_tensor() if hasattr(weight, "full_tensor") else weight).flatten().tolist())

out = Path(sys.argv[1])
for name, strategy in (("ddp", "ddp"), ("fsdp2", FSDP2Strategy())):
    seen, counter = [], FiniteSteps()
    rows = [torch.full((4,), 1.0 + i) for i in range(6)]
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy=strategy, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=out / name,
        use_distributed_sampler=False, callbacks=[counter, Watch()],
    )
    mine = [dict(video=row, index=torch.tensor(10 * trainer.global_rank + i)) for i, row in enumerate(rows)]
    if trainer.global_rank == 1:
        mine[2]["video"] = torch.full((4,), float("inf"))
    trainer.fit(Line(), DataLoader(mine, batch_size=1))
    (out / f"{name}-{trainer.global_rank}.json").write_text(json.dumps([counter.skipped, seen]))
"""


def test_both_processes_skip_the_step_that_one_of_them_spoiled(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launcher, str(script), str(tmp_path)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("ddp", "fsdp2"):
        (skipped, first), (skipped_too, second) = (
            json.loads((tmp_path / f"{name}-{rank}.json").read_text()) for rank in (0, 1)
        )
        assert skipped == skipped_too == 1
        assert first == second
        assert first[2] == first[1]
        assert first[3] != first[2]
        (line,) = (tmp_path / name / "skipped_steps.jsonl").read_text().splitlines()
        assert json.loads(line)["clips"] == [2, 12]
