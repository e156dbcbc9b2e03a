"""Two real processes skip the same steps and go back together, under ddp and fsdp2, when one saw the bad clips."""

import json

import pytest
import torch
from tests.two_processes import started

pytestmark = pytest.mark.slow  # several processes

SCRIPT = """
import json, sys
from pathlib import Path
import lightning, torch
from torch.utils.data import DataLoader
from vmae_zoo.callbacks.ema import EMA
from vmae_zoo.callbacks.skip_nonfinite import SkipNonFiniteSteps
from vmae_zoo.training.checkpointing import LastCheckpoint
from vmae_zoo.training.fsdp2 import FSDP2Strategy, shard

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
    def on_train_start(self, trainer, module):
        self.on_train_batch_end(trainer, module)
    def on_train_batch_end(self, trainer, module, *_):
        weight = module.layer.weight.detach()
        seen.append((weight.full_tensor() if hasattr(weight, "full_tensor") else weight).flatten().tolist())

out = Path(sys.argv[1])
for name, strategy, ema, checkpoint in (
    ("ddp", "ddp", EMA(0.5), None),
    ("fsdp2", FSDP2Strategy(), EMA(), None),
    ("resumed", FSDP2Strategy(), EMA(), out / "ddp/checkpoints/last.ckpt"),
):
    seen, counter = [], SkipNonFiniteSteps(patience=2)
    rows = [torch.full((4,), 1.0 + i) for i in range(8)]
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy=strategy, max_epochs=2 if checkpoint else 1, logger=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=out / name,
        use_distributed_sampler=False, callbacks=[counter, Watch(), ema, LastCheckpoint(every_n_steps=4)],
    )
    mine = [dict(video=row, index=torch.tensor(10 * trainer.global_rank + i)) for i, row in enumerate(rows)]
    if trainer.global_rank == 1 and not checkpoint:
        for i in (2, 5, 6):
            mine[i]["video"] = torch.full((4,), float("inf"))
    trainer.fit(Line(), DataLoader(mine, batch_size=1), ckpt_path=checkpoint, weights_only=True)
    (out / f"{name}-{trainer.global_rank}.json").write_text(json.dumps([counter.skipped, counter.rolled_back, seen]))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tmp_path_factory.mktemp("two")
    script = work / "two.py"
    script.write_text(SCRIPT)
    started(script, work, folder=work)
    return work


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_both_processes_skip_the_steps_that_one_of_them_spoiled_and_go_back_together(work, name):
    (skipped, rolled_back, after), second = (json.loads((work / f"{name}-{rank}.json").read_text()) for rank in (0, 1))
    assert [skipped, rolled_back, after] == second
    assert (skipped, rolled_back) == (3, 1)
    assert after[3] == after[2]
    assert len({str(after[step]) for step in (2, 4, 5, 8)}) == 4
    assert after[6] == after[5]
    assert after[7] == after[4], "back to the checkpoint of the fourth step"
    lines = (work / name / "skipped_steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["clips"] for line in lines] == [[2, 12], [5, 15], [6, 16]]


def test_an_averaged_checkpoint_goes_on_sharded_with_the_weights_that_were_trained(work):
    saved = torch.load(work / "ddp/checkpoints/last.ckpt", weights_only=True)
    trained, average = (saved[part]["layer.weight"].flatten() for part in ("current_model_state", "state_dict"))
    first = torch.tensor(json.loads((work / "resumed-0.json").read_text())[2][0])
    assert torch.equal(first, trained)
    assert not torch.equal(first, average)
