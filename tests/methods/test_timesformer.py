"""With divided attention, learnt positions and a class token the classifier is transformers' TimeSformer."""

import torch
from transformers import TimesformerConfig, TimesformerForVideoClassification

from vmae_zoo.methods import Classifier

FRAMES, WIDTH, DEPTH = 4, 24, 2
NAMES = {
    "attention.attention.qkv": "attn.qkv",
    "attention.output.dense": "attn.proj",
    "temporal_attention.attention.qkv": "temporal_attn.qkv",
    "temporal_attention.output.dense": "temporal_attn.proj",
    "temporal_dense": "temporal_fc",
    "temporal_layernorm": "temporal_norm1",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}


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
            for a, b in NAMES.items():
                state[f"encoder.blocks.{block}.{b}.{kind}"] = given[f"timesformer.encoder.layer.{block}.{a}.{kind}"]
    ours.load_state_dict(state)
    clip = torch.randn(2, 3, FRAMES, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), theirs(clip.transpose(1, 2)).logits, atol=1e-5, rtol=1e-5)


def test_it_starts_with_no_time():
    model = Classifier(
        num_classes=5, size="tiny", frames=4, image_size=32, cube_frames=1, depth=1,
        attention="divided", pool="cls", position="separable", bias="qkv",
    )  # fmt: skip
    assert model.encoder.positions.pos_embed_temporal.abs().max() == 0
    assert model.encoder.blocks[0].temporal_fc.weight.abs().max() == 0
