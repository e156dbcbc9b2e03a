"""A batch is copied to a GPU while the step before is computed."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from vmae_zoo.data import ClipDataModule, module
from vmae_zoo.data.device_copy import DeviceCopy


def test_a_data_module_copies_to_each_gpu_on_a_stream_of_that_gpu(monkeypatch):
    class Named:
        def __init__(self, device):
            self.device = device

        def __call__(self, batch):
            return f"{batch} on {self.device}"

    monkeypatch.setattr(module, "DeviceCopy", Named)
    data = ClipDataModule("synthetic:demo_small")
    assert data.transfer_batch_to_device("clips", torch.device("cuda", 0), 0) == "clips on cuda:0"
    assert data.transfer_batch_to_device("clips", torch.device("cuda", 1), 0) == "clips on cuda:1"
    clips = {"video": torch.ones(2)}
    assert data.transfer_batch_to_device(clips, torch.device("cpu"), 0)["video"].equal(clips["video"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_copy_runs_beside_the_computation_and_no_byte_is_lost():
    device = torch.device("cuda", 0)
    copy = DeviceCopy(device)
    batches = [
        {"video": torch.randint(256, (64, 3, 16, 64, 64), dtype=torch.uint8).pin_memory(), "names": ["a"]}
        for _ in range(4)
    ]
    left = torch.rand(8192, 8192, device=device)
    sums = []
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        for batch in batches:
            moved = copy(batch)
            assert moved["names"] == ["a"]
            left @ left  # a step, which is queued while the one before still runs
            sums.append(moved["video"].sum(dtype=torch.int64))
            del moved
        torch.cuda.synchronize()
    assert [int(total) for total in sums] == [int(batch["video"].sum(dtype=torch.int64)) for batch in batches]
    on_gpu = [event for event in profiled.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    copies = [event.time_range for event in on_gpu if "Memcpy HtoD" in event.name][-3:]
    products = [event.time_range for event in on_gpu if not event.name.startswith("Mem")]
    assert len(copies) == 3
    assert all(any(a.start < b.end and b.start < a.end for b in products) for a in copies)
