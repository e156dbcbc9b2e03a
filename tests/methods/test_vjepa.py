"""V-JEPA equals the official numbers, and its parts do what the papers say."""

import copy

import lightning
import pytest
import torch
from tests.methods.official import numbers, part
from torch.utils.data import DataLoader

from vmae_zoo.masking import TokenSplit
from vmae_zoo.methods import VJEPA, VideoMAE

VERSIONS = {
    "vjepa": {
        "position": "sincos_3d",
        "mask_tokens": "per_set",
        "predictor_width": 40,
        "scale_residuals": False,
    },
    "vjepa2": {"position": "rope", "rope_frequencies": "tiled", "mask_tokens": "shared", "predictor_width": 48},
}
GOLDEN = {"frames": 8, "image_size": 64, "width": 64, "depth": 3, "num_heads": 2}
GOLDEN |= {"predictor_depth": 2, "predictor_num_heads": 2}
SMALL = {"size": "tiny", "frames": 4, "image_size": 64, "width": 24, "depth": 2, "num_heads": 2}
SMALL |= {"predictor_width": 24, "predictor_depth": 1, "predictor_num_heads": 2}


def our_name(name):
    """Our name of an official tensor, with or without ``module.backbone.``; None where we compute it."""
    home, _, rest = name.replace("module.backbone.", "").partition(".")
    if home == "predictor":
        rest = rest.removeprefix("predictor_")
    return None if rest.endswith("pos_embed") else f"{home}.{rest}"


def official(version):
    """The method with the official weights, the clip and the masks; its numbers."""
    values = numbers(f"{version}_pretrain")
    method = VJEPA(**GOLDEN, **VERSIONS[version])
    weights = {our_name(n.removeprefix("w.")): v for n, v in values.items() if n.startswith("w.")}
    weights.pop(None, None)
    if version == "vjepa2":
        weights.pop("predictor.mask_tokens.1")  # never used there
    method.load_state_dict(weights)
    masks = [TokenSplit(values[f"in.context.{n}"], values[f"in.predicted.{n}"]) for n in range(2)]
    return method, values["in.clip"], masks, values


@pytest.mark.parametrize("version", VERSIONS)
def test_targets_predictions_loss_and_gradients_are_the_official_ones(version):
    method, clip, masks, values = official(version)
    out = method(clip, masks)
    torch.testing.assert_close(out.loss, values["out.loss"][0], atol=1e-5, rtol=1e-5)
    for place in range(2):
        torch.testing.assert_close(out.target[place], values[f"out.target.{place}"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(out.prediction[place], values[f"out.prediction.{place}"], atol=1e-5, rtol=1e-5)
    tokens = torch.nn.functional.layer_norm(method.target_encoder(clip), (64,))
    torch.testing.assert_close(tokens, values["out.target_tokens"], atol=1e-5, rtol=1e-5)
    out.loss.backward()
    for name, gradient in part(values, "grad.").items():
        ours = method.get_parameter(our_name(name)).grad
        assert (ours - gradient).abs().max() <= 1e-3 * gradient.abs().max(), name
        assert (ours - gradient).abs().max() <= 1e-6


@pytest.mark.parametrize("version", VERSIONS)
def test_the_published_positions_are_computed(version):
    method, *_, values = official(version)
    tables = {n: v for n, v in values.items() if n.endswith("pos_embed")}
    assert len(tables) == (3 if version == "vjepa" else 0)
    for name, table in tables.items():
        ours = method.predictor if "predictor" in name else method.encoder
        torch.testing.assert_close(ours.positions(), table, atol=1e-6, rtol=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_permuting_hidden_tokens_permutes_predictions(version):
    method, clip, masks, _ = official(version)
    orders = [torch.randperm(split.predicted.shape[1]) for split in masks]
    permuted = [TokenSplit(s.visible, s.predicted[:, o]) for s, o in zip(masks, orders, strict=True)]
    before, after = method(clip, masks), method(clip, permuted)
    for place, order in enumerate(orders):
        torch.testing.assert_close(after.prediction[place], before.prediction[place][:, order], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(after.loss, before.loss)


def test_only_visible_cubes_reach_the_predictions():
    method, clip, masks, _ = official("vjepa2")
    changed = clip.clone()
    t, place = divmod(int(masks[0].predicted[0, 0]), 16)
    h, w = divmod(place, 4)
    changed[0, :, 2 * t : 2 * t + 2, 16 * h : 16 * h + 16, 16 * w : 16 * w + 16] += 1
    before, after = method(clip, masks[:1]), method(changed, masks[:1])
    assert torch.equal(before.prediction[0], after.prediction[0])
    assert not torch.allclose(before.target[0], after.target[0], atol=1e-3)


def test_the_target_encoder_takes_no_gradient_and_is_the_one_to_evaluate():
    method = VJEPA(**SMALL)
    method(torch.randn(2, 3, 4, 64, 64), method.sample_mask({"key": torch.arange(2)})).loss.backward()
    for name, parameter in method.named_parameters():
        assert (parameter.grad is None) == name.startswith("target_encoder."), name
    assert method.encoder_for_evaluation() is method.target_encoder
    assert VideoMAE(size="tiny", depth=1).encoder_for_evaluation().width == 192


def test_the_loss_exponent_follows_its_formula():
    method = VJEPA(**SMALL, loss_exponent=2.0)
    out = method(torch.randn(2, 3, 4, 64, 64), method.sample_mask({"key": torch.arange(2)}))
    losses = [(p - t).square().mean() / 2 for p, t in zip(out.prediction, out.target, strict=True)]
    torch.testing.assert_close(out.loss, (losses[0] + losses[1]) / 2)


@pytest.mark.parametrize("scaled", [True, False])
def test_initial_weights_have_the_published_deviations(scaled):
    torch.manual_seed(0)
    method = VJEPA(**{**SMALL, "width": 192, "num_heads": 3, "depth": 3}, scale_residuals=scaled)
    for place, block in enumerate(method.encoder.blocks, start=1):
        deviation = 0.02 / (2 * place) ** 0.5 if scaled else 0.02
        assert block.attn.proj.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert block.mlp.fc2.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert block.attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert method.encoder.patch_embed.proj.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert all(token.abs().max() == 0 for token in method.predictor.mask_tokens)
    for ours, theirs in zip(method.encoder.parameters(), method.target_encoder.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("size", "heads", "millions"), [("large", 16, 304), ("huge", 16, 632), ("giant", 22, 1012)])
def test_published_sizes_have_the_published_parameters(size, heads, millions):
    with torch.device("meta"):
        method = VJEPA(size=size)
    assert method.encoder.blocks[0].attn.heads == heads
    assert sum(p.numel() for p in method.encoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)
    assert method.grid.shape == (8, 16, 16)
    assert sum(p.numel() for p in method.predictor.parameters()) / 1e6 == pytest.approx(22, rel=0.03)


def batches(count, method, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (4, 3, *method.grid.pixels)
    return [
        {"video": torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator), "key": torch.arange(4) + 4 * n}
        for n in range(count)
    ]


def fit(method, folder, steps, data, **settings):
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    ckpt = settings.pop("ckpt_path", None)
    settings = {"max_epochs": 1, **settings}
    trainer = lightning.Trainer(accelerator="cpu", max_steps=steps, default_root_dir=folder, **quiet, **settings)
    trainer.fit(method, DataLoader(data, batch_size=None), ckpt_path=ckpt)
    return trainer


class Followed(VJEPA):
    """Notes the encoder after each step."""

    def on_train_batch_end(self, *_):
        vector = torch.nn.utils.parameters_to_vector
        self.seen = [*getattr(self, "seen", []), vector(self.encoder.parameters()).detach().clone()]


@pytest.mark.filterwarnings("ignore")
def test_after_k_steps_the_target_is_the_closed_form(tmp_path):
    torch.manual_seed(0)
    method = Followed(**SMALL, momentum=0.5, momentum_end=1.0, lr=1e-2, warmup_epochs=0)
    expected = torch.nn.utils.parameters_to_vector(method.encoder.parameters()).detach().clone()
    fit(method, tmp_path, 4, batches(4, method))
    for step, online in enumerate(method.seen):
        momentum = 0.5 + 0.5 * step / 4
        expected = momentum * expected + (1 - momentum) * online
    torch.testing.assert_close(torch.nn.utils.parameters_to_vector(method.target_encoder.parameters()), expected)


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_is_the_same_bit_for_bit(tmp_path):
    settings = {**SMALL, "momentum": 0.9, "lr": 1e-3, "start_lr": 1e-3, "warmup_epochs": 0}
    torch.manual_seed(0)
    whole = VJEPA(**settings)
    part_run = copy.deepcopy(whole)
    data = batches(1, whole)
    fit(whole, tmp_path, 4, data, max_epochs=4)
    trainer = fit(part_run, tmp_path, 4, data, max_epochs=2)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    resumed = VJEPA(**settings)
    fit(resumed, tmp_path, 4, data, ckpt_path=tmp_path / "x.ckpt", max_epochs=4)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_masks_follow_the_step_in_training_alone(tmp_path):
    method, batch = VJEPA(**SMALL), {"key": torch.arange(3)}
    fixed = method.eval().sample_mask(batch)
    assert all(torch.equal(a.visible, b.visible) for a, b in zip(fixed, method.train().sample_mask(batch), strict=True))
    assert [split.weight for split in fixed] == [None, None]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_frozen_teacher_of_another_width_is_the_target_and_stays(tmp_path):
    torch.manual_seed(0)
    teacher = VideoMAE(size="tiny", frames=4, image_size=64, width=36, depth=1, num_heads=2, position="rope").encoder
    method = VJEPA(**SMALL, target="frozen", teacher="x.ckpt", lr=1e-3, warmup_epochs=0)
    method.set_teacher(copy.deepcopy(teacher))
    assert method.encoder_for_evaluation() is method.encoder
    data = batches(3, method)
    trainer = fit(method, tmp_path, 3, data)
    for ours, theirs in zip(method.target_encoder.parameters(), teacher.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    out = method(*method.prepare_inputs(data[0]))
    assert out.prediction[0].shape[-1] == 36
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    from vmae_zoo import load_pretrained

    again = load_pretrained(tmp_path / "x.ckpt", task="pretrain")
    method.eval()
    torch.testing.assert_close(again(*again.prepare_inputs(data[0])).loss, method(*method.prepare_inputs(data[0])).loss)
    assert load_pretrained(tmp_path / "x.ckpt").width == 24


def test_a_teacher_for_other_clips_and_half_a_setting_are_refused():
    method = VJEPA(**SMALL, target="frozen", teacher="x")
    with pytest.raises(ValueError, match="the teacher takes clips of"):
        method.set_teacher(VideoMAE(size="tiny", frames=8, image_size=64, depth=1).encoder)
    for settings in ({"target": "frozen"}, {"teacher": "x"}):
        with pytest.raises(ValueError, match="target = frozen"):
            VJEPA(**SMALL, **settings)
    with pytest.raises(ValueError, match="mask_tokens = 'two' is not known"):
        VJEPA(**SMALL, mask_tokens="two")
