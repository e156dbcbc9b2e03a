"""`--model.init_from` starts a run from given weights and says what was taken of them."""

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from vmae_zoo.cli.encoder_of_weights import with_encoder_of_weights
from vmae_zoo.cli.main import main
from vmae_zoo.methods import VideoMAE

SMALL = {"size": "tiny", "width": 24, "depth": 1, "num_heads": 2, "mask_ratio": 0.75}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2}


@pytest.fixture(scope="module")
def small_videos(tmp_path_factory, encode):
    root = tmp_path_factory.mktemp("videos")
    for number in range(3):
        encode(root / f"{number}.mp4", frames=6)
    return root


@pytest.fixture
def weights(tmp_path):
    method = VideoMAE(**SMALL, **DECODER, image_size=32, frames=4)
    path = tmp_path / "official.pth"
    torch.save({"model": method.state_dict()}, path)
    return method, path


def fit(small_videos, weights, *arguments):
    settings = {**SMALL, **DECODER, "init_from": weights, "lr": 0.0, "warmup_steps": 0}
    return main(
        [
            "fit",
            "--model=VideoMAE",
            *(f"--model.{name}={value}" for name, value in settings.items()),
            f"--data.root={small_videos}",
            *["--data.size=32", "--data.frames=4", "--data.stride_frames=1", "--data.batch_size=2", "--data.workers=0"],
            *["--trainer.accelerator=cpu", "--trainer.max_steps=1", "--trainer.logger=false"],
            *arguments,
        ]
    )


@pytest.mark.slow
def test_a_run_starts_from_the_weights_and_says_so(small_videos, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    method, path = weights
    assert fit(small_videos, path, "--pictures.every_n_steps=1000") == 0
    out = capsys.readouterr().out
    assert f"start:  {path} (videomae layout): {len(method.state_dict())} tensors used for VideoMAE" in out
    saved = torch.load(next(tmp_path.glob("runs/*/*/checkpoints/last.ckpt")), weights_only=True)["state_dict"]
    for name, value in method.state_dict().items():
        assert torch.equal(saved[name], value), name


def test_the_first_process_alone_prints_the_encoder_of_the_weights(capsys, monkeypatch):
    given = ["fit", "--model=Classifier", "--model.init_from=videomae_tiny.demo-16"]
    for rank in (0, 1):
        monkeypatch.setattr(rank_zero_only, "rank", rank)
        assert "--model.patch=8" in with_encoder_of_weights(given)
        assert capsys.readouterr().out.startswith("model:") == (rank == 0)


def test_weights_that_do_not_fit_are_refused_before_a_run_folder_is_made(small_videos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"encoder.norm.weight": torch.ones(3)}}, tmp_path / "other.pth")
    assert fit(small_videos, tmp_path / "other.pth") == 1
    assert "other.pth" in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*/*"))
