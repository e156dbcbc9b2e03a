"""Fine-tuned files of every layout load to the outputs of the program that they come from, and are written back."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from vmae_zoo import load_pretrained
from vmae_zoo.methods import Classifier
from vmae_zoo.zoo.convert import hugging_face, layout

SIZE = {
    "image_size": 32,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 96,
}


def clip(frames=16, side=32):
    return torch.randn(2, 3, frames, side, side, generator=torch.Generator().manual_seed(0))


def scrambled(model):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def golden(request):
    found = load_file(request.config.rootpath / "tests" / "golden" / "videomae_v1_classify.safetensors")
    return found, {name[2:]: value for name, value in found.items() if name.startswith("w.")}


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.", "model."])
def test_an_official_classifier_gives_the_official_logits(tmp_path, golden, prefix):
    numbers, weights = golden
    torch.save({"module": {prefix + name: value for name, value in weights.items()}}, tmp_path / "x.pth")
    classifier = load_pretrained(tmp_path / "x.pth", task="classify", num_heads=2, image_size=32)
    assert torch.allclose(classifier(numbers["in.clip"]), numbers["out.logits"], atol=1e-5)
    assert layout("videomae").write(classifier).keys() == weights.keys()
    with pytest.raises(ValueError, match="task='classify'"):
        load_pretrained(tmp_path / "x.pth", task="pretrain", num_heads=2, image_size=32)
    encoder = load_pretrained(tmp_path / "x.pth", num_heads=2, image_size=32)
    pooled = encoder.pool(encoder(numbers["in.clip"]))
    assert torch.allclose(classifier.head(pooled), numbers["out.logits"], atol=1e-5)


def test_an_encoder_with_a_norm_after_pooling_needs_no_head(tmp_path, golden):
    _, weights = golden
    save_file({f"model.{n}": v for n, v in weights.items() if "head" not in n}, tmp_path / "model.safetensors")
    encoder = load_pretrained(tmp_path, num_heads=2, image_size=32)
    assert isinstance(encoder.fc_norm, torch.nn.LayerNorm)
    with pytest.raises(ValueError, match="no classification head"):
        load_pretrained(tmp_path, task="classify", num_heads=2, image_size=32)


def test_videomae_classifiers_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.VideoMAEConfig(**SIZE, num_frames=16, num_labels=5)
    theirs = scrambled(transformers.VideoMAEForVideoClassification(config))
    theirs.save_pretrained(tmp_path)
    ours = load_pretrained(tmp_path, task="classify")
    expected = theirs(clip().transpose(1, 2)).logits
    assert torch.allclose(ours(clip()), expected, atol=1e-5)

    save_file(hugging_face.write(ours), tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(hugging_face.config_of(ours)))
    again = transformers.VideoMAEForVideoClassification.from_pretrained(tmp_path).eval()
    assert torch.allclose(again(clip().transpose(1, 2)).logits, expected, atol=1e-5)


def test_timesformers_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.TimesformerConfig(**SIZE, num_frames=4, num_labels=5)
    theirs = scrambled(transformers.TimesformerForVideoClassification(config))
    theirs.save_pretrained(tmp_path)
    ours = load_pretrained(tmp_path, task="classify")
    expected = theirs(clip(4).transpose(1, 2)).logits
    assert torch.allclose(ours(clip(4)), expected, atol=1e-5)
    assert ours.encoder.preprocessing.mean == (0.45, 0.45, 0.45)

    official = layout("timesformer").write(ours)
    torch.save({"model_state": official, "epoch": 14, "cfg": "TRAIN: {}"}, tmp_path / "x.pyth")
    again = load_pretrained(tmp_path / "x.pyth", task="classify", num_heads=2)
    assert again.loaded.layout == "timesformer"
    assert torch.equal(again(clip(4)), ours(clip(4)))

    first = load_file(tmp_path / "model.safetensors")
    save_file(hugging_face.write(ours), tmp_path / "model.safetensors", {"format": "pt"})
    assert first.keys() == load_file(tmp_path / "model.safetensors").keys()
    theirs = type(theirs).from_pretrained(tmp_path).eval()
    assert torch.allclose(theirs(clip(4).transpose(1, 2)).logits, expected, atol=1e-5)


def timm_model():
    timm = pytest.importorskip("timm")
    settings = {"patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 5, "img_size": 32}
    return scrambled(timm.models.VisionTransformer(**settings))


def test_timm_transformers_on_images(tmp_path):
    theirs = timm_model()
    torch.save(theirs.state_dict(), tmp_path / "x.pth")
    ours = load_pretrained(tmp_path / "x.pth", task="classify", num_heads=2)
    assert torch.allclose(ours(clip(1)), theirs(clip(1)[:, :, 0]), atol=1e-5)
    back = layout("timm").write(ours)
    assert all(torch.equal(back[name], value) for name, value in theirs.state_dict().items())


def test_timm_transformers_inflated_to_clips_embed_a_still_clip_as_the_image(tmp_path):
    theirs = timm_model()
    torch.save(theirs.state_dict(), tmp_path / "x.pth")
    ours = load_pretrained(tmp_path / "x.pth", task="classify", num_heads=2, frames=8)
    still = clip(1)
    image = theirs._pos_embed(theirs.patch_embed(still[:, :, 0]))[:, 1:]
    tokens = ours.encoder.patch_embed(still.expand(-1, -1, 8, -1, -1)) + ours.encoder.positions()
    assert torch.allclose(tokens, image.repeat(1, 4, 1), atol=1e-5)
    assert torch.allclose(
        ours.encoder.cls_token + ours.encoder.positions.pos_embed_class, theirs_class(theirs), atol=1e-6
    )
    with pytest.raises(ValueError, match="take images"):
        layout("timm").write(ours)


def theirs_class(model):
    return model.cls_token + model.pos_embed[:, :1]


def test_timm_transformers_with_a_pooled_mean(tmp_path):
    timm = pytest.importorskip("timm")
    theirs = scrambled(
        timm.models.VisionTransformer(
            patch_size=16, embed_dim=24, depth=2, num_heads=2, num_classes=5, img_size=32, global_pool="avg"
        )
    )
    torch.save(theirs.state_dict(), tmp_path / "x.pth")
    ours = load_pretrained(tmp_path / "x.pth", task="classify", num_heads=2)
    assert torch.allclose(ours(clip(1)), theirs(clip(1)[:, :, 0]), atol=1e-5)


def test_an_image_mae_is_inflated_to_clips(tmp_path, request):
    found = load_file(request.config.rootpath / "tests" / "golden" / "mae_pretrain.safetensors")
    torch.save({n[2:]: v for n, v in found.items() if n.startswith("w.")}, tmp_path / "x.pth")
    image = load_pretrained(tmp_path / "x.pth", num_heads=2)
    video = load_pretrained(tmp_path / "x.pth", num_heads=2, frames=4)
    still = clip(1, 64)
    tokens = video.patch_embed(still.expand(-1, -1, 4, -1, -1)) + video.positions()
    assert torch.allclose(tokens, (image.patch_embed(still) + image.positions()).repeat(1, 2, 1), atol=1e-5)


def test_a_space_time_mae_classifier_comes_back(tmp_path):
    settings = {"position": "separable", "bias": "qkv", "cls_token": True, "size": "tiny", "depth": 2}
    ours = scrambled(Classifier(num_classes=3, frames=4, image_size=32, **settings))
    torch.save({"model": layout("mae_st").write(ours)}, tmp_path / "x.pth")
    again = load_pretrained(tmp_path / "x.pth", task="classify")
    assert again.loaded.layout == "mae_st"
    assert torch.allclose(again(clip(4)), ours(clip(4)), atol=1e-6)
