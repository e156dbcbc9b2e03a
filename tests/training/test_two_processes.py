"""Two real processes train as one does: DDP and FSDP2 over gloo, from the command line."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from tests.small_run import SMALL_RUN
from tests.two_processes import started

pytestmark = pytest.mark.slow  # several processes, or thousands of clips

SETTINGS = SMALL_RUN | {
    "trainer.max_epochs": 2,
    "trainer.logger": "false",
}
ARGUMENTS = ["fit", *(f"--{name}={value}" for name, value in SETTINGS.items())]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Nine clips: an epoch of two global batches of four leaves one out."""
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for number in range(9):
        with av.open(str(root / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, width=48, height=48, pix_fmt="yuv420p")
            for _ in range(6):
                frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return root


def fit(folder: Path, videos: Path, *arguments: str, processes: int = 1) -> dict:
    """Train in ``folder`` and return the last checkpoint."""
    folder.mkdir(exist_ok=True)
    started("vmae_zoo", *ARGUMENTS, "--data.root", videos, *arguments, folder=folder, processes=processes)
    (file,) = folder.glob("runs/*/*/checkpoints/last.ckpt")
    return torch.load(file, weights_only=True)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory, videos) -> dict:
    return fit(tmp_path_factory.mktemp("one"), videos, "--data.batch_size", "4")["state_dict"]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_end_with_the_weights_of_one(strategy, one_process, videos, tmp_path):
    shared = ("--data.batch_size", "2", "--trainer.devices", "2", "--trainer.strategy", strategy)
    two = fit(tmp_path, videos, *shared, processes=2)
    assert two["global_step"] == 4
    assert two["state_dict"].keys() == one_process.keys()
    for name, value in two["state_dict"].items():
        torch.testing.assert_close(value, one_process[name], atol=2e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_accumulation_ends_with_the_same_weights(one_process, videos, tmp_path):
    accumulated = fit(tmp_path, videos, "--data.batch_size", "1")
    for name, value in accumulated["state_dict"].items():
        torch.testing.assert_close(value, one_process[name], atol=2e-6, rtol=1e-4)
