"""Divided space-time attention equals its description token by token, and transformers' TimeSformer."""

import pytest
import torch
import torch.nn.functional as F
from tests.methods.transformers_names import BLOCK_NAMES
from transformers import TimesformerConfig
from transformers.models.timesformer.modeling_timesformer import TimesformerLayer

from vmae_zoo.masking import TokenGrid, TokenSplit, tube_mask
from vmae_zoo.methods import VideoMAE
from vmae_zoo.models.blocks import Block
from vmae_zoo.models.divided_attention import DividedBlock
from vmae_zoo.models.encoder import Encoder

T, S, D, HEADS = 3, 4, 8, 2


def trained(block):
    """The block with no parameter at its start."""
    generator = torch.Generator().manual_seed(0)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return block.eval()


def attend(attention, tokens_KD):
    """Plain multi-head attention of one set of tokens, head by head."""
    heads = []
    q, k, v = (tokens_KD @ attention.qkv.weight.T + attention.qkv.bias).chunk(3, dim=1)
    for head in range(HEADS):
        part = slice(head * D // HEADS, (head + 1) * D // HEADS)
        heads.append((q[:, part] @ k[:, part].T / (D // HEADS) ** 0.5).softmax(1) @ v[:, part])
    return attention.proj(torch.cat(heads, dim=1))


def by_the_paper(block, x_ND, prefix):
    """One clip through a divided block, one token set at a time."""
    x = x_ND.clone()
    for place in range(S):
        tube = [prefix + t * S + place for t in range(T)]
        x[tube] = x_ND[tube] + block.temporal_fc(attend(block.temporal_attn, block.temporal_norm1(x_ND[tube])))
    after_time, first_changes = x.clone(), []
    for t in range(T):
        image = [*range(prefix), *range(prefix + t * S, prefix + (t + 1) * S)]
        change = attend(block.attn, block.norm1(after_time[image]))
        x[image[prefix:]] = after_time[image[prefix:]] + change[prefix:]
        first_changes.append(change[:prefix])
    x[:prefix] = after_time[:prefix] + torch.stack(first_changes).mean(0)
    return x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x))))


@pytest.mark.parametrize("prefix", [0, 1])
def test_a_block_equals_attention_written_out_token_set_by_token_set(prefix):
    block = trained(DividedBlock(D, HEADS, T, prefix=prefix))
    x = torch.randn(2, prefix + T * S, D)
    expected = torch.stack([by_the_paper(block, clip, prefix) for clip in x])
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


def test_a_block_equals_transformers_timesformer_on_the_same_weights():
    config = TimesformerConfig(
        hidden_size=D,
        num_attention_heads=HEADS,
        intermediate_size=4 * D,
        num_frames=T,
        image_size=32,
        patch_size=16,
        drop_path_rate=0,
    )
    theirs, ours = TimesformerLayer(config, 0).eval(), trained(DividedBlock(D, HEADS, T, prefix=1))
    weights = ours.state_dict()
    theirs.load_state_dict(
        {f"{a}.{kind}": weights[f"{b}.{kind}"] for a, b in BLOCK_NAMES.items() for kind in ("weight", "bias")}
    )
    x = torch.randn(2, 1 + T * S, D)
    place_major = torch.cat([x[:, :1], x[:, 1:].unflatten(1, (T, S)).transpose(1, 2).flatten(1, 2)], dim=1)
    out = theirs(place_major)[0]
    back = torch.cat([out[:, :1], out[:, 1:].unflatten(1, (S, T)).transpose(1, 2).flatten(1, 2)], dim=1)
    torch.testing.assert_close(ours(x), back, atol=1e-5, rtol=1e-5)


def test_a_new_encoder_treats_every_slice_as_an_image():
    torch.manual_seed(0)
    grid = TokenGrid(T, 2, 2, cube=(1, 4, 4))
    encoder = Encoder(grid, D, 2, HEADS, bias="qkv", attention="divided").eval()
    images = torch.nn.ModuleList(Block(D, HEADS, bias="qkv") for _ in range(2))
    for image, block in zip(images, encoder.blocks, strict=True):
        assert block.temporal_fc.weight.abs().max() == 0
        image.load_state_dict({k: v for k, v in block.state_dict().items() if "temporal" not in k})
    tokens = torch.randn(2, T * S, D)
    alone = tokens.unflatten(1, (T, S)).flatten(0, 1)
    for image, block in zip(images, encoder.blocks, strict=True):
        tokens, alone = block(tokens), image(alone)
    torch.testing.assert_close(tokens, alone.unflatten(0, (2, T)).flatten(1, 2), atol=1e-5, rtol=1e-5)


def test_drop_path_drops_whole_tubes_in_time_and_whole_slices_in_space():
    block = trained(DividedBlock(D, HEADS, T, drop_path=0.5)).train()
    for part in (block.temporal_fc.bias, block.attn.proj.weight, block.attn.proj.bias, *block.mlp.fc2.parameters()):
        torch.nn.init.zeros_(part)
    x = torch.randn(64, T * S, D)
    tubes = (block(x) - x).unflatten(1, (T, S)).abs().amax(3).transpose(1, 2) > 0  # only the first step changes x
    assert torch.equal(tubes.any(2), tubes.all(2))
    assert 0.4 < tubes[:, :, 0].float().mean() < 0.6


def test_divided_attention_pretrains_behind_tube_masks():
    torch.manual_seed(0)
    settings = {"width": 24, "depth": 2, "num_heads": 2, "decoder_width": 16, "decoder_num_heads": 2}
    method = VideoMAE("tiny", image_size=64, mask_ratio=0.75, attention="divided", **settings)
    video = torch.randn(2, 3, 16, 64, 64)
    split = tube_mask(torch.tensor([1, 2]), method.grid, 0.75)
    method(video, split).loss.backward()
    assert all(parameter.grad is not None for parameter in method.encoder.parameters())
    full = method.encoder(video)
    permuted = torch.arange(method.grid.tokens).expand(2, -1)
    torch.testing.assert_close(method.encoder(video, permuted), full, atol=1e-5, rtol=1e-5)


def test_masks_that_are_not_tubes_are_refused():
    method = VideoMAE("tiny", image_size=64, mask_ratio=0.75, depth=1, attention="divided")
    hidden = torch.ones(1, method.grid.tokens, dtype=torch.bool)
    hidden[0, torch.arange(8) * 16 + torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])] = False  # one place a slice, not the same
    video = torch.randn(1, 3, 16, 64, 64)
    with pytest.raises(ValueError, match="not the same positions in every time slice"):
        method(video, TokenSplit.from_masks(hidden))
    hidden[0, 0] = True
    with pytest.raises(ValueError, match="divided attention needs a tube mask or none"):
        method(video, TokenSplit.from_masks(hidden))
    with pytest.raises(ValueError, match="takes no attention mask"):
        method.encoder(video, mask=torch.ones(128, 128, dtype=torch.bool))
    with pytest.raises(ValueError, match="attention = 'axial' is not known"):
        VideoMAE("tiny", attention="axial")
