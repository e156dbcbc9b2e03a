"""Decay and layer-wise rates go to the parameters that the official programs give them to."""

import pytest
import torch

from vmae_zoo.methods import VideoMAE
from vmae_zoo.training.parameter_groups import parameter_groups


def rates_and_decays(module, **settings):
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    groups = parameter_groups(module, 0.05, **settings)
    found = {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups) == len(names)
    return found


def test_matrices_decay_and_biases_norms_and_tokens_do_not():
    with torch.device("meta"):
        method = VideoMAE("tiny")
    found = rates_and_decays(method, lr=1.0, exempt=["mask_token"])
    for name in ("encoder.patch_embed.proj.weight", "encoder_to_decoder.weight", "decoder.blocks.1.mlp.fc2.weight"):
        assert found[name] == (1.0, 0.05)
    for name in ("mask_token", "encoder.blocks.0.attn.q_bias", "encoder.norm.weight", "decoder.head.bias"):
        assert found[name] == (1.0, 0.0)


def test_layer_decay_holds_the_golden_values():
    with torch.device("meta"):
        encoder = VideoMAE("base").encoder
    found = rates_and_decays(encoder, lr=1.0, layer_decay=0.75, depth=12)
    assert found["patch_embed.proj.weight"][0] == pytest.approx(0.0238, abs=5e-5)
    assert found["blocks.0.mlp.fc1.bias"][0] == pytest.approx(0.0317, abs=5e-5)
    assert found["blocks.11.attn.qkv.weight"][0] == pytest.approx(0.75)
    assert found["norm.weight"][0] == 1.0


def test_frozen_parameters_are_left_out():
    layer = torch.nn.Linear(2, 2)
    layer.weight.requires_grad_(False)
    assert [len(group["params"]) for group in parameter_groups(layer, 0.1, lr=1.0)] == [1]
