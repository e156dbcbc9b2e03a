"""V-JEPA trains alike under ddp and fsdp2, the target encoder too; masks depend on neither."""

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
from vmae_zoo.callbacks import CollapseMeter
from vmae_zoo.methods import VJEPA
from vmae_zoo.training.fsdp2 import FSDP2Strategy

class Watch(lightning.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        losses.append(outputs["loss"].item())

torch.set_num_threads(1)
out, seen = Path(sys.argv[1]), {}
for name, strategy in (("ddp", "ddp"), ("fsdp2", FSDP2Strategy())):
    losses = []
    torch.manual_seed(0)
    method = VJEPA(
        frames=4, image_size=64, width=24, depth=2, num_heads=2, predictor_width=16, predictor_depth=1,
        predictor_num_heads=2, momentum=0.5, lr=1e-3, start_lr=0.0, warmup_epochs=0,
    )
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy=strategy, max_steps=3, callbacks=[CollapseMeter(1), Watch()], **quiet
    )
    generator = torch.Generator().manual_seed(trainer.global_rank)
    clips = torch.randint(0, 256, (4, 3, 4, 64, 64), dtype=torch.uint8, generator=generator)
    batch = dict(video=clips, key=torch.arange(4) + 10 * trainer.global_rank)
    trainer.fit(method, DataLoader([batch] * 3, batch_size=None))
    folder = out / f"{name}.ckpt"
    trainer.save_checkpoint(folder)
    seen[name] = {"losses": losses, "std": float(trainer.callback_metrics["collapse/std"])}
(out / f"{trainer.global_rank}.json").write_text(json.dumps(seen))
"""


def test_losses_and_target_encoders_are_the_same_under_ddp_and_fsdp2(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(SCRIPT)
    started(script, tmp_path, folder=tmp_path)
    for rank in (0, 1):
        seen = json.loads((tmp_path / f"{rank}.json").read_text())
        assert len(set(seen["ddp"]["losses"])) == 3
        assert seen["fsdp2"]["losses"] == pytest.approx(seen["ddp"]["losses"], rel=1e-4)
        assert seen["fsdp2"]["std"] == pytest.approx(seen["ddp"]["std"], rel=1e-3)
    one, other = (torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["state_dict"] for name in ("ddp", "fsdp2"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=2e-6, rtol=1e-4)


RESUMED = """
import json, sys
from pathlib import Path
import lightning, torch
from torch.utils.data import DataLoader
from vmae_zoo.methods import VJEPA
from vmae_zoo.training.fsdp2 import FSDP2Strategy
from vmae_zoo.training.momentum import _local

def local(module):
    return [_local(parameter).detach().clone() for parameter in module.parameters()]

class ClosedForm(VJEPA):
    def on_train_start(self):
        self.expected = local(self.target_encoder)
    def on_train_batch_end(self, *_):
        self.expected = [0.75 * mean + 0.25 * now for mean, now in zip(self.expected, local(self.encoder))]
        for ours, theirs in zip(local(self.target_encoder), self.expected):
            torch.testing.assert_close(ours, theirs)
        compared.append(self.global_step)

def run(name, steps, checkpoint=None):
    torch.manual_seed(0)
    method = ClosedForm(
        frames=4, image_size=64, width=24, depth=2, num_heads=2, predictor_width=16, predictor_depth=1,
        predictor_num_heads=2, momentum=0.75, lr=1e-3, start_lr=1e-3, warmup_epochs=0,
    )
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy=FSDP2Strategy() if kind == "fsdp2" else "ddp", max_steps=4,
        max_epochs=steps, **quiet,
    )
    generator = torch.Generator().manual_seed(trainer.global_rank)
    clips = torch.randint(0, 256, (4, 3, 4, 64, 64), dtype=torch.uint8, generator=generator)
    batch = dict(video=clips, key=torch.arange(4) + 10 * trainer.global_rank)
    trainer.fit(method, DataLoader([batch], batch_size=None), ckpt_path=checkpoint)
    trainer.save_checkpoint(out / name)

torch.set_num_threads(1)
out, kind, compared = Path(sys.argv[1]), sys.argv[2], []
run("whole.ckpt", 4)
run("half.ckpt", 2)
run("resumed.ckpt", 4, out / "half.ckpt")
assert compared == [1, 2, 3, 4, 1, 2, 3, 4], compared
"""


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_the_target_encoder_is_the_closed_form_and_resumes_bit_for_bit(tmp_path, kind):
    script = tmp_path / "two.py"
    script.write_text(RESUMED)
    started(script, tmp_path, kind, folder=tmp_path)
    whole, half, resumed = (
        torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["state_dict"] for name in ("whole", "half", "resumed")
    )
    assert any(not torch.equal(half[name], value) for name, value in whole.items() if name.startswith("target_"))
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
