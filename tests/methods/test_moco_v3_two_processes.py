"""MoCo v3 has the same losses with ddp and fsdp2, with a sharded momentum encoder too."""

import json

import pytest
from tests.two_processes import started

pytestmark = pytest.mark.slow  # several processes

SCRIPT = """
import json, sys
from pathlib import Path
import lightning, torch
from torch.utils.data import DataLoader
from vmae_zoo.methods import MoCoV3
from vmae_zoo.training.fsdp2 import FSDP2Strategy

class Watch(lightning.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        losses.append(outputs["loss"].item())

torch.set_num_threads(1)
out, seen = Path(sys.argv[1]), {}
for name, strategy in (("ddp", "ddp"), ("fsdp2", FSDP2Strategy())):
    losses = seen[name] = []
    torch.manual_seed(0)
    method = MoCoV3(
        frames=4, image_size=32, width=24, depth=2, num_heads=2, projection_width=32, projection_dim=8,
        momentum=0.5, lr=1e-3, warmup_epochs=0,
    )
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy=strategy, max_steps=3, callbacks=[Watch()], **quiet
    )
    generator = torch.Generator().manual_seed(trainer.global_rank)
    clips = torch.randint(0, 256, (2, 4, 3, 4, 32, 32), dtype=torch.uint8, generator=generator)
    batch = dict(video=clips[0], other=clips[1], key=torch.arange(4) + 10 * trainer.global_rank)
    trainer.fit(method, DataLoader([batch] * 3, batch_size=None))
(out / f"{trainer.global_rank}.json").write_text(json.dumps(seen))
"""


def test_losses_are_the_same_under_ddp_and_fsdp2(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(SCRIPT)
    started(script, tmp_path, folder=tmp_path)
    for rank in (0, 1):
        seen = json.loads((tmp_path / f"{rank}.json").read_text())
        assert len(set(seen["ddp"])) == 3
        for one, other in zip(seen["ddp"], seen["fsdp2"], strict=True):
            assert abs(one - other) < 1e-4 * one
