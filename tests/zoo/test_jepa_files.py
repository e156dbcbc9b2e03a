"""Files of V-JEPA and V-JEPA 2, official and of transformers, load to the official numbers and are written back."""

import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.methods.official import numbers
from torch.nn.functional import layer_norm

from vmae_zoo import load_pretrained
from vmae_zoo.masking import TokenSplit
from vmae_zoo.methods import VJEPA
from vmae_zoo.zoo import start_from
from vmae_zoo.zoo.convert_checkpoint import convert

HINTS = {"num_heads": 2, "predictor_num_heads": 2, "image_size": 64, "frames": 8}
VERSIONS = ["vjepa", "vjepa2"]


def official_file(folder, version, parts=("encoder", "predictor", "target_encoder")):
    """A checkpoint as the official programs save it, and its numbers."""
    values = numbers(f"{version}_pretrain")
    networks = {
        part: {n.removeprefix(f"w.{part}."): v for n, v in values.items() if n.startswith(f"w.{part}.")}
        for part in parts
    }
    state = {
        "opt": {"state": {}},
        "scaler": None,
        "epoch": 3,
        "loss": 0.5,
        "batch_size": 2,
        "world_size": 1,
        "lr": 1e-3,
    }
    torch.save({**networks, **state}, folder / "latest.pth.tar.pth")
    return folder / "latest.pth.tar.pth", values


def masks_of(values):
    return [TokenSplit(values[f"in.context.{n}"], values[f"in.predicted.{n}"]) for n in range(2)]


def check(method, values):
    with torch.no_grad():
        out = method(values["in.clip"], masks_of(values))
    torch.testing.assert_close(out.loss, values["out.loss"][0], atol=1e-5, rtol=1e-5)
    for n in range(2):
        torch.testing.assert_close(out.prediction[n], values[f"out.prediction.{n}"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_official_files_give_the_official_numbers(tmp_path, version):
    path, values = official_file(tmp_path, version)
    method = load_pretrained(path, task="pretrain", method=version, **HINTS)
    assert method.loaded.layout == "vjepa"
    assert "features are those of target_encoder" in method.loaded.line()
    check(method, values)
    encoder = load_pretrained(path, method=version, **HINTS)
    tokens = layer_norm(encoder(values["in.clip"]), (64,))
    torch.testing.assert_close(tokens, values["out.target_tokens"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_written_is_the_official_file_again(tmp_path, version):
    path, values = official_file(tmp_path, version)
    convert(path, tmp_path / "again.pth", "vjepa", method=version, **HINTS)
    before, after = torch.load(path, weights_only=True), torch.load(tmp_path / "again.pth", weights_only=True)
    for part in ("encoder", "predictor", "target_encoder"):
        assert after[part].keys() == before[part].keys()
        for name, value in before[part].items():
            if name.endswith("mask_tokens.1") and version == "vjepa2":
                continue  # never trained there
            torch.testing.assert_close(after[part][name], value, atol=1e-6, rtol=0)
    check(load_pretrained(tmp_path / "again.pth", task="pretrain", method=version, **HINTS), values)


def test_the_native_folder_keeps_everything(tmp_path):
    path, values = official_file(tmp_path, "vjepa2")
    convert(path, tmp_path / "native", "vmae_zoo", method="vjepa2", **HINTS)
    check(load_pretrained(tmp_path / "native", task="pretrain"), values)


@pytest.mark.parametrize("part", ["encoder", "target_encoder"])
def test_a_file_of_one_encoder_says_so(tmp_path, part):
    path, values = official_file(tmp_path, "vjepa2", (part,))
    encoder = load_pretrained(path, method="vjepa2", **HINTS)
    other = "encoder" if part == "target_encoder" else "target_encoder"
    assert f"the file holds {part} alone, which is read as {other} too" in encoder.loaded.line()
    if part == "target_encoder":
        tokens = layer_norm(encoder(values["in.clip"]), (64,))
        torch.testing.assert_close(tokens, values["out.target_tokens"], atol=1e-5, rtol=1e-5)


def test_versions_that_names_do_not_tell_apart_are_asked_for(tmp_path):
    path, _ = official_file(tmp_path, "vjepa")
    with pytest.raises(ValueError, match="give method='vjepa' or method='vjepa2'"):
        load_pretrained(path, **HINTS)
    with pytest.raises(ValueError, match="method is vjepa or vjepa2, not mgmae"):
        load_pretrained(path, method="mgmae", **HINTS)
    with pytest.raises(ValueError, match="give predictor_num_heads"):
        load_pretrained(path, task="pretrain", method="vjepa", num_heads=2, image_size=64, frames=8)
    with pytest.raises(ValueError, match="is not V-JEPA's table"):
        load_pretrained(path, method="vjepa", num_heads=2, image_size=64, frames=2)


def test_another_method_starts_from_the_target_encoder(tmp_path):
    path, _ = official_file(tmp_path, "vjepa2")
    convert(path, tmp_path / "native", "vmae_zoo", method="vjepa2", **HINTS)
    settings = {"frames": 8, "image_size": 64, "width": 64, "depth": 3, "num_heads": 2}
    settings |= {"predictor_width": 48, "predictor_depth": 2, "predictor_num_heads": 2}
    target = load_pretrained(tmp_path / "native").state_dict()
    fresh = VJEPA(**settings, rope_frequencies="tiled")
    start_from(fresh, tmp_path / "native")
    assert torch.equal(fresh.target_encoder.state_dict()["norm.weight"], target["norm.weight"])
    assert not torch.equal(fresh.encoder.blocks[0].attn.qkv.weight, fresh.target_encoder.blocks[0].attn.qkv.weight)
    from vmae_zoo.methods import Classifier

    settings = {n: v for n, v in settings.items() if not n.startswith("predictor")}
    kinds = {"position": "rope", "rope_frequencies": "tiled", "bias": "qkv"}
    classifier = Classifier(num_classes=2, **settings, **kinds)
    start_from(classifier, tmp_path / "native")
    name = "blocks.1.mlp.fc1.weight"
    assert torch.equal(classifier.encoder.state_dict()[name], target[name])


transformers = pytest.importorskip("transformers")


def theirs(**changes):
    config = transformers.VJEPA2Config(
        crop_size=64,
        frames_per_clip=8,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        mlp_ratio=4.0,
        pred_hidden_size=48,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=2,
        **changes,
    )
    torch.manual_seed(0)
    model = transformers.VJEPA2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
        tokens = model.predictor.embeddings.mask_tokens
        tokens.copy_(tokens[:1].expand_as(tokens))
    return model


def their_outputs(model, clip, split):
    """Target features, and predictions from an encoder that sees the context alone."""
    encoder, video = model.encoder, clip.transpose(1, 2)
    with torch.no_grad():
        target = encoder(video).last_hidden_state
        hidden = encoder.embeddings(video)
        context = hidden.gather(1, split.visible[:, :, None].expand(-1, -1, hidden.shape[-1]))
        for layer in encoder.layer:
            context = layer(context, split.visible)
            context = context[0] if isinstance(context, tuple) else context
        context = encoder.layernorm(context)
        whole = torch.zeros_like(hidden).scatter(1, split.visible[:, :, None].expand_as(context), context)
        out = model.predictor(whole, [split.visible], [split.predicted])
    return target, out.last_hidden_state


@pytest.mark.slow
def test_folders_of_transformers_give_its_features_and_predictions_and_go_back(tmp_path, caplog):
    model, values = theirs(), numbers("vjepa2_pretrain")
    model.save_pretrained(tmp_path / "first")
    clip, split = values["in.clip"], masks_of(values)[0]
    target, prediction = their_outputs(model, clip, split)
    with caplog.at_level(logging.INFO, "vmae_zoo"):
        ours = load_pretrained(tmp_path / "first", task="pretrain")
    assert "context and target encoder" in caplog.text
    with torch.no_grad():
        torch.testing.assert_close(load_pretrained(tmp_path / "first")(clip), target, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours(clip, [split]).prediction[0], prediction, atol=1e-5, rtol=1e-5)
    convert(tmp_path / "first", tmp_path / "again", "transformers")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "again"))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    again = transformers.VJEPA2Model.from_pretrained(tmp_path / "again").eval()
    with torch.no_grad():
        torch.testing.assert_close(again.encoder(clip.transpose(1, 2)).last_hidden_state, target)


def test_official_weights_reach_transformers(tmp_path):
    path, values = official_file(tmp_path, "vjepa2")
    convert(path, tmp_path / "folder", "transformers", method="vjepa2", **HINTS)
    model = transformers.VJEPA2Model.from_pretrained(tmp_path / "folder").eval()
    target, _ = their_outputs(model, values["in.clip"], masks_of(values)[0])
    torch.testing.assert_close(layer_norm(target, (64,)), values["out.target_tokens"], atol=1e-5, rtol=1e-5)


def test_models_that_transformers_has_no_network_for_are_refused(tmp_path):
    path, _ = official_file(tmp_path, "vjepa")
    with pytest.raises(ValueError, match="tiled frequencies"):
        convert(path, tmp_path / "folder", "transformers", method="vjepa", **HINTS)


def test_safetensors_with_both_encoders_load(tmp_path):
    path, values = official_file(tmp_path, "vjepa2")
    convert(path, tmp_path / "x.safetensors", "vjepa", method="vjepa2", **HINTS)
    assert any(name.startswith("target_encoder.module.backbone.") for name in load_file(tmp_path / "x.safetensors"))
    check(load_pretrained(tmp_path / "x.safetensors", task="pretrain", method="vjepa2", **HINTS), values)
    weights = load_file(tmp_path / "x.safetensors")
    weights["encoder.module.backbone.norm.weight"][0] = float("nan")
    save_file(weights, tmp_path / "y.safetensors")
    with pytest.raises(ValueError, match="holds NaN"):
        load_pretrained(tmp_path / "y.safetensors", task="pretrain", method="vjepa2", **HINTS)


@pytest.mark.slow
def test_classifiers_of_transformers_give_its_logits_and_go_back(tmp_path):
    config = transformers.VJEPA2Config(
        crop_size=64,
        frames_per_clip=8,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=4.0,
        pred_hidden_size=12,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
        num_pooler_layers=3,
        id2label={0: "push", 1: "pull", 2: "turn"},
    )
    torch.manual_seed(0)
    model = transformers.VJEPA2ForVideoClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    model.save_pretrained(tmp_path / "first")
    ours = load_pretrained(tmp_path / "first", task="classify")
    assert ours.classes == ["push", "pull", "turn"]
    clip = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        expected = model(clip.transpose(1, 2)).logits
        torch.testing.assert_close(ours(clip), expected, atol=1e-4, rtol=1e-3)
        for norm in [part for part in ours.pooler.modules() if isinstance(part, torch.nn.LayerNorm)]:
            norm.eps = 1e-6  # of the library; 1e-5 in the official program
        torch.testing.assert_close(ours(clip), expected, atol=1e-5, rtol=1e-5)
        features = load_pretrained(tmp_path / "first")(clip)
        torch.testing.assert_close(features, model.vjepa2.get_vision_features(clip.transpose(1, 2)))
    with pytest.raises(ValueError, match="fine-tuned classifier"):
        load_pretrained(tmp_path / "first", task="pretrain")
    convert(tmp_path / "first", tmp_path / "again", "transformers")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "again"))
    assert second.keys() == {name for name in first if not name.startswith("vjepa2.predictor.")}
    assert all(torch.equal(value, first[name]) for name, value in second.items())
    again = transformers.VJEPA2ForVideoClassification.from_pretrained(tmp_path / "again").eval()
    with torch.no_grad():
        torch.testing.assert_close(again(clip.transpose(1, 2)).logits, expected)
    assert again.config.id2label == {0: "push", 1: "pull", 2: "turn"}
    convert(tmp_path / "first", tmp_path / "native", "vmae_zoo")
    native = load_pretrained(tmp_path / "native", task="classify")
    with torch.no_grad():
        torch.testing.assert_close(native(clip), expected, atol=1e-4, rtol=1e-3)
