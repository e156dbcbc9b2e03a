"""MoCo v3 on clips equals its description: loss, momentum encoder, frozen parameters, initialization."""

import copy
import math

import lightning
import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import parameters_to_vector
from torch.utils.data import DataLoader

from vmae_zoo.data.clip_spec import ClipRequest
from vmae_zoo.methods import MoCoV3
from vmae_zoo.training.parameter_groups import parameter_groups

TINY = {
    "frames": 4,
    "image_size": 32,
    "width": 24,
    "depth": 2,
    "num_heads": 2,
    "projection_width": 32,
    "projection_dim": 8,
    "change_colour": False,
}


def tiny(**changes) -> MoCoV3:
    torch.manual_seed(0)
    return MoCoV3(**{**TINY, **changes})


def two_views(batch: int = 4):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, 3, 4, 32, 32, generator=generator) for _ in range(2)]


def test_loss_equals_the_published_formula():
    method = tiny()
    views = two_views()
    twin = copy.deepcopy(method)  # batch norms count what they see
    queries = [twin.predictor(twin.projector(twin.encoder(v, return_cls=True)[1])) for v in views]
    keys = [twin.momentum_projector(twin.momentum_encoder(v, return_cls=True)[1]) for v in views]
    loss = 0.0
    for q, k in ((queries[0], keys[1]), (queries[1], keys[0])):
        for i in range(4):
            logits = torch.stack([F.cosine_similarity(q[i], k[j], dim=0) / 0.2 for j in range(4)])
            loss += 2 * 0.2 * (logits.exp().sum().log() - logits[i]) / 4
    torch.testing.assert_close(method(*views).loss, loss)


def test_gradient_reaches_neither_the_momentum_branch_nor_the_patch_embedding():
    method = tiny()
    method(*two_views()).loss.backward()
    for name, parameter in method.named_parameters():
        still = name.startswith("momentum_") or ".patch_embed." in name
        assert parameter.requires_grad != still, name
        assert (parameter.grad is None) == still, name
    assert method.encoder.blocks[0].attn.qkv.weight.grad.abs().max() > 0


def test_patch_embedding_can_be_trained():
    method = tiny(freeze_patch_embed=False)
    method(*two_views()).loss.backward()
    assert method.encoder.patch_embed.proj.weight.grad.abs().max() > 0


def test_initialisation_is_the_official_one():
    method = tiny(width=48, projection_width=64)
    encoder = method.encoder
    for weight in encoder.blocks[0].attn.qkv.weight.chunk(3):
        bound = (6 / (2 * 48)) ** 0.5
        assert 0.98 * bound < weight.abs().max() <= bound
    bound = (6 / (3 * 2 * 16 * 16 + 48)) ** 0.5
    assert 0.98 * bound < encoder.patch_embed.proj.weight.abs().max() <= bound
    assert encoder.patch_embed.proj.bias.abs().max() == 0
    assert 0 < encoder.cls_token.abs().max() < 1e-5
    bound = 48**-0.5  # PyTorch's own start
    assert 0.98 * bound < method.projector[0].weight.abs().max() <= bound
    for base, follower in (("encoder", "momentum_encoder"), ("projector", "momentum_projector")):
        for one, other in zip(getattr(method, base).parameters(), getattr(method, follower).parameters(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize(("step", "momentum"), [(0, 0.99), (50, 0.995), (100, 1.0)])
def test_momentum_rises_to_one_by_a_half_cosine(step, momentum):
    assert tiny().momentum_at(step, 100) == pytest.approx(momentum)


class Recorded(MoCoV3):
    """Notes both branches whenever it computes keys."""

    def forward(self, view, other):
        base = parameters_to_vector([*self.encoder.parameters(), *self.projector.parameters()])
        led = parameters_to_vector([*self.momentum_encoder.parameters(), *self.momentum_projector.parameters()])
        self.seen = [*getattr(self, "seen", []), (base.detach().clone(), led.clone())]
        return super().forward(view, other)


def test_momentum_branch_moves_before_it_computes_its_keys():
    torch.manual_seed(0)
    method = Recorded(**TINY, momentum=0.5, lr=1e-2, min_lr=1e-2, warmup_epochs=0)
    torch.nn.init.normal_(method.encoder.cls_token)  # as given weights would: the branches start alike all the same
    views = [(view * 40 + 128).clamp(0, 255).byte() for view in two_views()]
    batches = [{"video": views[0], "other": views[1], "key": torch.arange(4)}] * 4
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(max_steps=4, accelerator="cpu", **quiet)
    trainer.fit(method, DataLoader(batches, batch_size=None))
    (base, led), *later = method.seen
    assert torch.equal(base, led)
    assert len(later) == 3
    for i, (base, now) in enumerate(later, start=1):
        m = 1 - 0.5 * (1 + math.cos(math.pi * i / 4)) * (1 - 0.5)
        torch.testing.assert_close(now, m * led + (1 - m) * base)
        assert not torch.equal(now, led)
        led = now
    assert not torch.allclose(method.projector[1].running_var, method.momentum_projector[1].running_var)


def test_every_trained_parameter_decays():
    method = tiny()
    groups = parameter_groups(method, 0.1, lr=1.0, exempt=method.no_decay, decay_all=method.decay_all)
    assert [group["weight_decay"] for group in groups] == [0.1]
    assert len(groups[0]["params"]) == sum(p.requires_grad for p in method.parameters())


def test_views_are_drawn_from_the_keys_and_differ():
    method = tiny(change_colour=True)
    clip = torch.randint(0, 256, (2, 3, 4, 32, 32), dtype=torch.uint8)
    batch = {"video": clip, "other": clip, "key": torch.tensor([3, 4])}
    view, other = method.prepare_inputs(batch)
    assert not torch.allclose(view, other)
    again = method.prepare_inputs({**batch, "key": torch.tensor([3, 9])})
    torch.testing.assert_close(view[0], again[0][0])
    assert not torch.allclose(view[1], again[0][1])


def test_images_are_clips_of_one_frame():
    method = tiny(frames=1, position="sincos_2d_rows")
    assert method.grid.cube == (1, 16, 16)
    assert method(*(view[:, :, :1] for view in two_views())).loss.isfinite()


def test_it_requests_two_views():
    assert tiny().clip_request == ClipRequest(views=2)
    assert tiny(clips="same").clip_request == ClipRequest(views=2, same_clip=True)
    with pytest.raises(ValueError, match="clips = 'three' is not known"):
        tiny(clips="three")


def test_default_size_is_the_published_one():
    with torch.device("meta"):
        method = MoCoV3()
    encoder = 12 * (12 * 768**2 + 13 * 768) + 1537 * 768 + 3 * 768
    projector = 768 * 4096 + 4096 * 4096 + 4096 * 256 + 4 * 4096
    predictor = 256 * 4096 + 4096 * 256 + 2 * 4096
    trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
    assert trained == encoder - 1537 * 768 + projector + predictor
    assert sum(p.numel() for p in method.parameters()) == 2 * (encoder + projector) + predictor
