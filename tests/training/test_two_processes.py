"""Two real processes train as one does: DDP and FSDP2 over gloo, from the command line."""

import json
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
    """Nine training clips, of which two global batches of four leave one out, and five that two processes validate."""
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for number in range(14):
        file = root / ("train" if number < 9 else "val") / "a" / f"{number}.mp4"
        file.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(file), "w") as container:
            stream = container.add_stream("libx264", rate=25, width=48, height=48, pix_fmt="yuv420p")
            for _ in range(6):
                frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return root


def fit(folder: Path, videos: Path, *arguments: str, processes: int = 1) -> dict:
    """Train in ``folder``: the last checkpoint, and the validation loss."""
    folder.mkdir(exist_ok=True)
    started("vmae_zoo", *ARGUMENTS, "--data.root", videos, *arguments, folder=folder, processes=processes)
    (run,) = folder.glob("runs/*/*")
    loss = json.loads((run / "summary.json").read_text())["metrics"]["loss/val"]
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) | {"loss": loss}


@pytest.fixture(scope="module")
def one_process(tmp_path_factory, videos) -> dict:
    return fit(tmp_path_factory.mktemp("one"), videos, "--data.batch_size", "4")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_end_with_the_weights_of_one(strategy, one_process, videos, tmp_path):
    shared = ("--trainer", f"recipes/trainer/{strategy}.yaml", "--trainer.accelerator", "cpu", "--trainer.devices", "2")
    two = fit(tmp_path, videos, *shared, "--trainer.precision", "32-true", "--data.batch_size", "2", processes=2)
    assert two["global_step"] == 4
    assert two["loss"] == pytest.approx(one_process["loss"], rel=1e-4), "every validation clip counts once"
    weights = one_process["state_dict"]
    assert two["state_dict"].keys() == weights.keys()
    for name, value in two["state_dict"].items():
        torch.testing.assert_close(value, weights[name], atol=2e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_accumulation_ends_with_the_same_weights(one_process, videos, tmp_path):
    accumulated = fit(tmp_path, videos, "--data.batch_size", "1")
    for name, value in accumulated["state_dict"].items():
        torch.testing.assert_close(value, one_process["state_dict"][name], atol=2e-6, rtol=1e-4)
