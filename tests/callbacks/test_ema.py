"""The moving average of the weights equals its definition and is saved, validated and resumed."""

import lightning
import pytest
import torch
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader, TensorDataset

from vmae_zoo.callbacks.ema import EMA
from vmae_zoo.callbacks.skip_nonfinite import SkipNonFiniteSteps
from vmae_zoo.training.checkpointing import LastCheckpoint

ROWS = torch.linspace(-1, 1, 32).view(8, 4)


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 1)
        self.weights = []
        self.validated = []

    def training_step(self, batch, batch_idx):
        return (self.layer(batch[0]) - batch[0].sum(1, keepdim=True)).square().mean()

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.weights.append(self.layer.weight.detach().clone())

    def validation_step(self, batch, batch_idx):
        self.validated.append(self.layer.weight.detach().clone())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1)


class LateLine(Line):
    """A line whose weights are made once the data are known, as a classifier's head."""

    def __init__(self):
        super().__init__()
        self.later, self.layer = self.layer, None

    def setup(self, stage):
        self.layer, self.later = self.layer or self.later, None


def train(folder, *callbacks, epochs=1, resume=None, module=None, **settings):
    trainer = quiet_trainer(
        folder,
        *callbacks,
        LastCheckpoint(every_n_steps=3),
        max_epochs=epochs,
        num_sanity_val_steps=0,
        **settings,
    )
    module = module or Line()
    rows = DataLoader(TensorDataset(ROWS), batch_size=1)
    trainer.fit(module, rows, rows, ckpt_path=resume, weights_only=True)
    return module, torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def averaged(weights, decay):
    """The average by its definition, starting with the first weights."""
    average = weights[0]
    for weight in weights[1:]:
        average = decay * average + (1 - decay) * weight
    return average


def test_the_average_is_saved_as_the_state_dict_and_validated(tmp_path):
    module, saved = train(tmp_path, EMA(0.5))
    expected = averaged(module.weights, 0.5)
    torch.testing.assert_close(saved["state_dict"]["layer.weight"], expected)
    torch.testing.assert_close(module.validated[-1], expected)
    assert torch.equal(saved["current_model_state"]["layer.weight"], module.weights[-1])
    assert torch.equal(module.layer.weight, module.weights[-1]), "training ends with the trained weights"


def test_training_is_not_changed(tmp_path):
    with_average, _ = train(tmp_path / "a", EMA(0.9))
    without, saved = train(tmp_path / "b", EMA())
    assert torch.equal(with_average.layer.weight, without.layer.weight)
    assert "current_model_state" not in saved


def test_a_second_training_starts_an_average_of_its_own(tmp_path):
    ema = EMA(0.5)
    train(tmp_path / "first", ema)
    module, saved = train(tmp_path / "second", ema)
    torch.testing.assert_close(saved["state_dict"]["layer.weight"], averaged(module.weights, 0.5))


@pytest.mark.parametrize("kind", [Line, LateLine])
def test_a_resumed_run_has_the_same_weights_and_average(tmp_path, kind):
    _, whole = train(tmp_path / "whole", EMA(0.9), epochs=3, module=kind())
    train(tmp_path / "parts", EMA(0.9), epochs=2, module=kind())
    last = tmp_path / "parts/checkpoints/last.ckpt"
    _, parts = train(tmp_path / "parts", EMA(0.9), epochs=3, resume=last, module=kind())
    assert "layer.weight" in whole["state_dict"]
    for part in ("state_dict", "current_model_state", "averaging_state"):
        for name, value in whole[part].items():
            assert torch.equal(value, parts[part][name]), (part, name)


def test_a_checkpoint_saved_during_a_validation_is_right(tmp_path):
    class Save(lightning.Callback):
        def on_validation_batch_end(self, trainer, *_):
            trainer.save_checkpoint(tmp_path / "inside.ckpt")

    module, _ = train(tmp_path, EMA(0.5), Save())
    inside = torch.load(tmp_path / "inside.ckpt", weights_only=True)
    assert torch.equal(inside["current_model_state"]["layer.weight"], module.weights[-1])
    torch.testing.assert_close(inside["state_dict"]["layer.weight"], averaged(module.weights, 0.5))


def test_a_run_without_an_average_resumes_from_the_trained_weights(tmp_path):
    _, whole = train(tmp_path / "whole", EMA(), epochs=2)
    train(tmp_path / "parts", EMA(0.5), epochs=1)
    with pytest.warns(UserWarning, match="ema.decay"):
        _, parts = train(tmp_path / "parts", EMA(), epochs=2, resume=tmp_path / "parts/checkpoints/last.ckpt")
    assert torch.equal(whole["state_dict"]["layer.weight"], parts["state_dict"]["layer.weight"])


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_a_rollback_restores_the_average_too(tmp_path):
    class NaNInjector(lightning.Callback):
        def on_after_backward(self, trainer, module):
            if trainer.global_step in (4, 5):
                module.layer.weight.grad[:] = float("nan")

    ema = EMA(0.5)
    module, _ = train(tmp_path, ema, SkipNonFiniteSteps(patience=2), NaNInjector(), max_steps=6)
    first = averaged(module.weights[:3], 0.5)  # saved after the third step; the fourth is undone
    torch.testing.assert_close(ema._average_model.module.layer.weight.detach(), first)
    assert torch.equal(module.layer.weight, module.weights[2])


def test_load_pretrained_takes_the_average(tmp_path):
    import vmae_zoo
    from vmae_zoo.methods import VideoMAE

    small = {"size": "tiny", "width": 24, "depth": 1, "num_heads": 2, "frames": 4, "image_size": 32, "mask_ratio": 0.75}
    method = VideoMAE(**small, decoder_width=16, decoder_depth=1, decoder_num_heads=2, lr=1e-2, warmup_steps=1)
    clips = [{"video": torch.full((3, 4, 32, 32), n, dtype=torch.uint8), "key": torch.tensor(n)} for n in range(4)]
    ema = EMA(0.5)
    trainer = quiet_trainer(tmp_path, ema, LastCheckpoint(), max_steps=4)
    trainer.fit(method, DataLoader(clips, batch_size=1))
    encoder = vmae_zoo.load_pretrained(tmp_path / "checkpoints/last.ckpt")
    assert ema._average_model is not None
    averaged_encoder = ema._average_model.module.encoder.state_dict()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, averaged_encoder[name]), name
    assert any(not torch.equal(p, averaged_encoder[name]) for name, p in method.encoder.named_parameters())


def test_sharded_weights_are_refused(tmp_path):
    from types import SimpleNamespace

    from vmae_zoo.training.fsdp2 import FSDP2Strategy

    with pytest.raises(ValueError, match="use ddp"):
        EMA(0.9).setup(SimpleNamespace(strategy=FSDP2Strategy(), precision="32-true"), Line(), "fit")


def test_invalid_settings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ema\.decay = 1\.5"):
        EMA(1.5)
    with pytest.raises(ValueError, match="use bf16-mixed"):
        train(tmp_path, EMA(0.9), precision="bf16-true")
