"""A frozen part keeps its weights through training, and takes no part in it."""

import pytest
import torch
from tests.methods.small import CLIP, DECODER, SMALL

from vmae_zoo.methods import Classifier, VideoMAE
from vmae_zoo.training.freeze import freeze_encoder

LAYERS = {**SMALL, **CLIP, "depth": 3}


def trained(method):
    """Names of the parameters that one optimizer step changes."""
    method.configure_model()
    method.train()
    before = {name: value.clone() for name, value in method.named_parameters()}
    parameters = [value for value in method.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    video = torch.randn(2, 3, *method.grid.pixels)
    loss = method(video).square().sum() if method.task == "classify" else None
    if loss is None:
        loss = method(video, method.sample_mask({"key": torch.arange(2)})).loss
    loss.backward()
    optimizer.step()
    return {name for name, value in method.named_parameters() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("freeze", [None, "patch_embed", 1, 3, "encoder"])
def test_only_what_is_not_frozen_changes(freeze):
    torch.manual_seed(0)
    method = Classifier(classes=["a", "b"], freeze=freeze, **LAYERS)
    torch.nn.init.normal_(method.head.weight)
    changed = trained(method)
    frozen = {None: -1, "patch_embed": 0, "encoder": 3}.get(freeze, freeze)
    assert ("encoder.patch_embed.proj.weight" in changed) == (frozen < 0)
    for block in range(3):
        assert any(name.startswith(f"encoder.blocks.{block}.") for name in changed) == (block >= frozen)
    assert "head.weight" in changed
    assert "encoder.fc_norm.weight" in changed


def test_continued_pretraining_keeps_the_first_blocks():
    torch.manual_seed(0)
    changed = trained(VideoMAE(freeze=2, mask_ratio=0.75, **DECODER, **LAYERS))
    assert {name.split(".")[2] for name in changed if name.startswith("encoder.blocks")} == {"2"}
    assert any(name.startswith("decoder.") for name in changed)


def test_frozen_blocks_drop_no_paths():
    method = Classifier(classes=["a", "b"], freeze=2, drop_path=0.9, **LAYERS)
    method.configure_model()
    method.train()
    assert [block.training for block in method.encoder.blocks] == [False, False, True]
    method.eval()
    assert not method.encoder.blocks[2].training


@pytest.mark.parametrize("freeze", ["decoder", 0, -1])
def test_other_parts_are_refused(freeze):
    with pytest.raises(ValueError, match="freeze"):
        VideoMAE(freeze=freeze, **LAYERS)


def test_more_blocks_than_there_are_is_refused():
    with pytest.raises(ValueError, match="3 blocks"):
        freeze_encoder(VideoMAE(**LAYERS).encoder, 4)
