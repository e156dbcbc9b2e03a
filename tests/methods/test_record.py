"""A class outside the package, which fixes arguments of its base class, is built again from its record."""

import pytest
import torch
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters_context

from vmae_zoo.methods import Classifier, VideoMAE
from vmae_zoo.methods.record import build_from

FIXED = {"size": "tiny", "frames": 4, "image_size": 32, "width": 24, "depth": 1, "num_heads": 2}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2}


class Closed(VideoMAE):
    def __init__(self, extra: int, mask_ratio: float = 0.5):
        super().__init__(**FIXED, **DECODER, mask_ratio=mask_ratio)


class Open(VideoMAE):
    def __init__(self, extra: int, **videomae):
        super().__init__(**FIXED, **DECODER, **videomae)


class OpenLabels(Classifier):
    def __init__(self, **classifier):
        super().__init__(**FIXED, **classifier)


class ClosedLabels(Classifier):
    def __init__(self):
        super().__init__(**FIXED)


@pytest.mark.parametrize(
    ("kind", "given"), [(Closed, {"extra": 3}), (Open, {"extra": 3}), (Open, {"extra": 3, "lr": 0.5})]
)
def test_it_is_built_again_from_its_own_arguments(kind, given):
    method = kind(**given)
    record = method.export_config()
    again = build_from(kind, record["hparams"])
    assert given.items() <= record["hparams"].items()
    assert not FIXED.keys() & record["hparams"].keys()
    assert again.hparams == method.hparams
    assert again.grid == method.grid


def test_hyperparameters_of_base_classes_are_known_under_lightnings_command_line():
    with _given_hyperparameters_context({"extra": 3, "mask_ratio": 0.75}, "a.function"):  # as LightningCLI does
        method = Closed(3, 0.75)
    assert FIXED.items() <= method.hparams.items()
    assert method.encoder.settings["width"] == 24
    assert method.export_config()["hparams"] == {"extra": 3, "mask_ratio": 0.75}


@pytest.mark.parametrize("kind", [OpenLabels, ClosedLabels])
def test_settings_that_changed_since_are_recorded(kind):
    method = kind()
    method.set_classes(["left", "right"])
    method.resize_positions(64)
    hparams = method.export_config()["hparams"]
    assert hparams == {"classes": ["left", "right"], "num_classes": 2, "trained_image_size": 64}
    again = build_from(kind, hparams)
    assert again.head.out_features == 2
    assert torch.equal(again.encoder.positions.table, method.encoder.positions.table)


def test_arguments_that_no_class_takes_are_refused():
    with pytest.raises(TypeError, match="noise"):
        build_from(Closed, {"extra": 3, "noise": 1})


def test_a_class_of_the_package_records_all_of_its_arguments():
    hparams = VideoMAE(**FIXED).export_config()["hparams"]
    assert FIXED.items() <= hparams.items()
    assert hparams["base_lr"] == 1.5e-4
