"""Images of reconstructions during training, which they do not change."""

import json

import av
import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader

from vmae_zoo.callbacks.reconstruction_logger import ReconstructionLogger, fixed_clips
from vmae_zoo.data import ClipDataModule
from vmae_zoo.methods import VideoMAE

SMALL = {
    "size": "tiny",
    "frames": 4,
    "image_size": 32,
    "mask_ratio": 0.5,
    "width": 24,
    "depth": 1,
    "num_heads": 2,
    "decoder_width": 24,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
    "lr": 1e-3,
    "warmup_steps": 0,
}


class Losses(lightning.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(float(outputs["loss"]))


def batches(count):
    generator = torch.Generator().manual_seed(1)
    video = torch.randint(0, 256, (count, 2, 3, 4, 32, 32), generator=generator, dtype=torch.uint8)
    return [
        {"video": v, "key": torch.tensor([2 * i, 2 * i + 1]), "index": torch.arange(2)} for i, v in enumerate(video)
    ]


def train(folder, *callbacks, steps=3, model=None, data=None, **settings):
    torch.manual_seed(0)
    model = model or VideoMAE(**SMALL)
    trainer = quiet_trainer(
        folder,
        *callbacks,
        max_steps=steps,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **settings,
    )
    trainer.fit(model, **(data or {"train_dataloaders": DataLoader(batches(steps), batch_size=None)}))
    return trainer


def lines(folder):
    return [json.loads(line) for line in (folder / "pictures" / "numbers.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_an_image_every_few_steps_and_at_the_end(tmp_path, precision, capsys):
    logger = TensorBoardLogger(tmp_path / "tb")
    train(tmp_path, ReconstructionLogger(every_n_steps=2), steps=5, precision=precision, logger=logger)
    assert sorted(p.name for p in (tmp_path / "pictures").glob("*.png")) == [
        f"step-{step:06d}.png" for step in (2, 4, 5)
    ]
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 5]
    assert all(0 < line["mse"] < 1 and line["zero_mse"] == lines(tmp_path)[0]["zero_mse"] for line in lines(tmp_path))
    assert "reconstruction: mean square error" in capsys.readouterr().out
    assert Image.open(tmp_path / "pictures" / "step-000005.png").height > 2 * 4 * 112
    (events,) = tmp_path.rglob("events.out*")
    assert b"reconstruction/mse_over_zero" in events.read_bytes()


def test_a_run_of_one_step_has_an_image(tmp_path):
    train(tmp_path, ReconstructionLogger(), steps=1)
    assert [line["step"] for line in lines(tmp_path)] == [1]


def test_training_is_not_changed(tmp_path):
    plain, drawn = Losses(), Losses()
    train(tmp_path, plain, steps=4)
    state = torch.get_rng_state()
    train(tmp_path, ReconstructionLogger(every_n_steps=1), drawn, steps=4)
    assert plain.seen == drawn.seen
    assert torch.equal(torch.get_rng_state(), state)


def test_methods_without_pixels_get_none(tmp_path):
    model = VideoMAE(**SMALL)
    model.targets = None
    train(tmp_path, ReconstructionLogger(every_n_steps=1), model=model)
    assert not (tmp_path / "pictures").exists()


def test_a_trial_run_writes_nothing(tmp_path):
    train(tmp_path, ReconstructionLogger(every_n_steps=1), fast_dev_run=True)
    assert not (tmp_path / "pictures").exists()


def test_the_clips_are_those_of_the_validation_set(tmp_path):
    for split, shades in (("train", (10, 20, 30, 40)), ("val", (200, 220))):
        for shade in shades:
            file = tmp_path / "videos" / split / "gray" / f"{shade}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            with av.open(str(file), "w") as container:
                stream = container.add_stream("libx264", rate=10)
                stream.width, stream.height, stream.pix_fmt = 48, 48, "yuv420p"
                for _ in range(6):
                    picture = np.full((48, 48, 3), shade, np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
                container.mux(stream.encode())
    data = ClipDataModule(root=str(tmp_path / "videos"), frames=4, stride_frames=1, size=32, batch_size=2, workers=0)
    trainer = train(tmp_path, ReconstructionLogger(clips=2), steps=2, data={"datamodule": data})
    found = fixed_clips(trainer, 2)
    assert found["video"].float().mean(dim=(1, 2, 3, 4)).round().tolist() == pytest.approx([200, 220], abs=3)
    assert len(lines(tmp_path)) == 1


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match=r"pictures\.clips = 0"):
        ReconstructionLogger(clips=0)
