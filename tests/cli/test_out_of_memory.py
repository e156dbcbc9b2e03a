"""A process that may not take more memory says which batch to try, on a CPU for real."""

import os
import re
import sys
from types import SimpleNamespace

import lightning
import pytest
import torch
from tests.two_processes import started

from vmae_zoo.callbacks import fitting_batch
from vmae_zoo.callbacks.fitting_batch import fitting
from vmae_zoo.cli.error_hints import advice_on

SCRIPT = """
import resource, sys
import torch
from vmae_zoo.cli.main import main

torch.ones(8, 8) @ torch.ones(8, 8)
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not enforce the limit")
def test_the_batch_that_does_not_fit_is_named_with_one_that_may(tmp_path, encode):
    first = encode(tmp_path / "clips" / "0.mp4", frames=18, size=(128, 128))
    for number in range(1, 80):
        os.link(first, first.with_name(f"{number}.mp4"))
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    small = ["--model.width=48", "--model.depth=2", "--model.num_heads=2", "--model.mask_ratio=0.5"]
    data = ["--data.root=clips", "--data.size=128", "--data.stride_frames=1", "--data.batch_size=72"]
    run = ["--data.global_batch=72", "--data.workers=0", "--trainer.max_steps=2", "--trainer.max_epochs=-1"]
    command = ["fit", "-c", "recipes/videomae.yaml", *small, *data, *run]
    said = started(script, *command, folder=tmp_path, processes=1, code=1)
    assert re.fullmatch(
        r"vmae-zoo: error: data\.batch_size = 72 clips a process do not fit memory, about (9|18|36) would: try "
        r"--data\.batch_size \1 \(the same steps\), or --model\.gradient_checkpointing true",
        said.splitlines()[-1],
    )


def settings(size, model=None, accumulate=1, **data):
    return {
        "data": {"batch_size": size, **data},
        "model": {"init_args": model or {}},
        "trainer": {"accumulate_grad_batches": accumulate},
    }


def test_the_batch_to_try_makes_the_same_steps():
    lack = torch.OutOfMemoryError("CUDA out of memory")
    assert advice_on(lack, settings(64, global_batch=512), None, fits=47, processes=4) == (
        "data.batch_size = 64 clips a process do not fit the GPU, about 47 would: try --data.batch_size 32 (the same"
        " steps), or --model.gradient_checkpointing true"
    )
    assert "try --data.batch_size 48 --trainer.accumulate_grad_batches 3 (" in str(
        advice_on(lack, settings(72, accumulate=2), None, fits=50)
    )
    assert "fit the GPU: try --data.batch_size 32 " in str(advice_on(lack, settings(64), None)), (
        "half, where none was tried"
    )
    assert advice_on(MemoryError(), settings(8, {"gradient_checkpointing": True}), None, fits=0) == (
        "data.batch_size = 8 does not fit memory, nor does 1: try a smaller model"
    )


class Device:
    """Steps that take ``fixed`` bytes and some for each clip, where there are so many."""

    def __init__(self, room, fixed=1000, clip=100):
        self.room, self.fixed, self.clip, self.tried = room, fixed, clip, []

    def peak(self, clips):
        self.tried.append(clips)
        if (peak := self.fixed + self.clip * clips) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return peak


@pytest.mark.parametrize(
    ("room", "fits", "tried"),
    [
        (7400, 60, [32, 16]),  # 1000 + 100 x 60 = 7000, and 61 would be more than 95 % of 7400
        (3000, 18, [32, 16, 8]),
        (1_000_000, 63, [32, 16]),  # 64 did not fit, whatever the reckoning says
        (1150, 1, [32, 16, 8, 4, 2, 1]),
        (500, 0, [32, 16, 8, 4, 2, 1]),
    ],
)
def test_two_batches_that_fit_say_which_fills_the_memory(room, fits, tried):
    device = Device(room)
    assert fitting(64, device.peak, room) == fits
    assert device.tried == tried


def test_moments_that_are_not_there_yet_are_reckoned_with():
    weights = [torch.nn.Parameter(torch.zeros(count)) for count in (100, 300)]
    optimizer = torch.optim.AdamW(weights)
    trainer = SimpleNamespace(optimizers=[optimizer])
    assert fitting_batch._moments_to_come(trainer) == 2 * 4 * 400
    optimizer.state[weights[0]] = {"exp_avg": torch.zeros(100)}  # memory ran out behind it
    assert fitting_batch._moments_to_come(trainer) == 4 * 100 + 2 * 4 * 300


def test_where_memory_is_not_counted_the_batch_that_went_through_is_named():
    assert fitting(64, Device(3000).peak, None) == 16


def test_another_fault_of_a_trial_is_not_taken_for_a_lack_of_memory():
    def fail(clips):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        fitting(64, fail, None)


class Step(lightning.LightningModule):
    """One weight; steps of more than ``fits`` clips lack memory."""

    def __init__(self, fits):
        super().__init__()
        self.fits, self.weight = fits, torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        if len(batch["key"]) > self.fits:
            raise MemoryError
        return (self.weight * batch["video"]).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(lightning.LightningDataModule):
    batch_size = 4

    def train_dataloader(self):
        return torch.utils.data.DataLoader([{"video": torch.ones(1), "key": n} for n in range(8)], self.batch_size)


class Greedy(lightning.Callback):
    def on_train_batch_end(self, *_):
        raise MemoryError


@pytest.mark.parametrize(("fits", "others", "found"), [(2, [], 2), (4, [Greedy()], None)])
def test_batches_are_tried_where_the_step_itself_lacks_memory(tmp_path, fits, others, found):
    trial = fitting_batch.FittingBatch()
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, callbacks=[*others, trial],
    )  # fmt: skip
    with pytest.raises(MemoryError):
        trainer.fit(Step(fits), datamodule=Data())
    assert trial.fits == found
