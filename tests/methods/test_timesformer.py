"""With divided attention, learned positions and a class token the classifier equals TimeSformer in transformers."""

from types import SimpleNamespace

import pytest
import torch
from tests.methods.transformers_names import BLOCK_NAMES
from transformers import TimesformerConfig, TimesformerForVideoClassification

from vmae_zoo.data.interfaces import VideoDataModule
from vmae_zoo.methods import Classifier

FRAMES, WIDTH, DEPTH = 4, 24, 2


def test_logits_equal_transformers_on_the_same_weights():
    config = TimesformerConfig(
        image_size=32, patch_size=16, num_frames=FRAMES, hidden_size=WIDTH, num_hidden_layers=DEPTH,
        num_attention_heads=2, intermediate_size=4 * WIDTH, num_labels=5, drop_path_rate=0,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = TimesformerForVideoClassification(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = Classifier(
        num_classes=5, frames=FRAMES, image_size=32, width=WIDTH, depth=DEPTH, num_heads=2, cube_frames=1,
        attention="divided", pool="cls", position="separable", bias="qkv",
    ).eval()  # fmt: skip
    given = theirs.state_dict()
    embeddings = "timesformer.embeddings."
    places = given[embeddings + "position_embeddings"]
    state = {
        "encoder.cls_token": given[embeddings + "cls_token"],
        "encoder.positions.pos_embed_class": places[:, :1],
        "encoder.positions.pos_embed_spatial": places[:, 1:],
        "encoder.positions.pos_embed_temporal": given[embeddings + "time_embeddings"],
        "encoder.patch_embed.proj.weight": given[embeddings + "patch_embeddings.projection.weight"][:, :, None],
        "encoder.patch_embed.proj.bias": given[embeddings + "patch_embeddings.projection.bias"],
    }
    for kind in ("weight", "bias"):
        state[f"encoder.norm.{kind}"] = given[f"timesformer.layernorm.{kind}"]
        state[f"head.{kind}"] = given[f"classifier.{kind}"]
        for block in range(DEPTH):
            for a, b in BLOCK_NAMES.items():
                state[f"encoder.blocks.{block}.{b}.{kind}"] = given[f"timesformer.encoder.layer.{block}.{a}.{kind}"]
    ours.load_state_dict(state)
    clip = torch.randn(2, 3, FRAMES, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), theirs(clip.transpose(1, 2)).logits, atol=1e-5, rtol=1e-5)


KIND = {
    "size": "tiny", "depth": 1, "frames": 4, "image_size": 32, "cube_frames": 1,
    "attention": "divided", "pool": "cls", "position": "separable", "bias": "qkv",
}  # fmt: skip


def test_time_has_no_effect_at_initialization():
    model = Classifier(num_classes=5, **KIND)
    assert model.encoder.positions.pos_embed_temporal.abs().max() == 0
    assert model.encoder.blocks[0].temporal_fc.weight.abs().max() == 0


class Data(VideoDataModule):
    steps_per_epoch = 10


def test_its_recipe_trains_with_sgd_in_steps():
    model = Classifier(num_classes=5, **KIND, optimizer="sgd", milestones=(11, 14), lr=0.005, layer_decay=1.0)
    limits = {"limit_train_batches": 1.0, "accumulate_grad_batches": 1}
    run = SimpleNamespace(max_steps=-1, max_epochs=15, datamodule=Data(), **limits)
    model._trainer = run
    made = model.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert isinstance(optimizer, torch.optim.SGD)
    [group] = optimizer.param_groups  # everything decays
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 0.05)
    rates = []
    for _ in range(150):
        rates.append(group["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.005] * 110 + [0.0005] * 30 + [0.00005] * 10)
    run.max_epochs, run.max_steps = None, 150
    with pytest.raises(ValueError, match="milestones"):
        model.configure_optimizers()


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer = 'lion'"):
        Classifier(num_classes=5, optimizer="lion")
