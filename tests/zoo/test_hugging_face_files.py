"""Folders that transformers wrote load to the same outputs, and it loads what is written for it."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from vmae_zoo import load_pretrained
from vmae_zoo.masking import TokenSplit
from vmae_zoo.methods import VideoMAE
from vmae_zoo.models.sincos import sincos_2d
from vmae_zoo.zoo.convert import hugging_face
from vmae_zoo.zoo.convert_checkpoint import convert

transformers = pytest.importorskip("transformers")

SIZE = {
    "image_size": 32,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 96,
}
DECODER = {
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 64,
}
HIDDEN = torch.rand(2, 32, generator=torch.Generator().manual_seed(0)).argsort(1) < 24


@pytest.fixture(autouse=True)
def seeded():
    """The same weights in every run: the differences to transformers are close to the tolerance."""
    torch.manual_seed(0)


def scrambled(model):
    """Biases and norms away from their zeros and ones, so that a lost one shows."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def videomae(**config):
    return scrambled(
        transformers.VideoMAEForPreTraining(transformers.VideoMAEConfig(**SIZE, **DECODER, num_frames=16, **config))
    )


def clip(seed=0):
    return torch.randn(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(seed))


def rewrite(folder, change):
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})


def v5(weights):
    """As versions 5.0 to 5.22 name the two biases."""
    return {n.replace("q_bias", "query.bias").replace("v_bias", "value.bias"): v for n, v in weights.items()}


def with_key_bias(weights):
    return v5(weights) | {
        n.replace("q_bias", "key.bias"): torch.ones_like(v) for n, v in weights.items() if "q_bias" in n
    }


@pytest.mark.parametrize("names", [dict, v5, with_key_bias], ids=["v4", "v5", "key_bias"])
@pytest.mark.parametrize("mean_pooling", [False, True])
def test_videomae_folders_give_the_outputs_of_transformers(tmp_path, names, mean_pooling):
    theirs = videomae(use_mean_pooling=mean_pooling)
    theirs.save_pretrained(tmp_path)
    rewrite(tmp_path, names)
    ours = load_pretrained(tmp_path, task="pretrain")
    with torch.no_grad():
        expected = theirs(clip().transpose(1, 2), HIDDEN)
        out = ours(clip(), TokenSplit.from_masks(HIDDEN))
        assert torch.allclose(out.prediction, expected.logits, atol=1e-5)
        assert torch.allclose(out.loss, expected.loss, atol=1e-5)
        tokens = theirs.videomae(clip().transpose(1, 2)).last_hidden_state
        assert torch.allclose(load_pretrained(tmp_path)(clip()), tokens, atol=1e-5)


def test_bin_files_and_bare_models_load(tmp_path):
    theirs = videomae(use_mean_pooling=False).videomae
    theirs.save_pretrained(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with torch.no_grad():
        tokens = theirs(clip().transpose(1, 2)).last_hidden_state
        assert torch.allclose(load_pretrained(tmp_path)(clip()), tokens, atol=1e-5)


def test_plain_pixel_targets_follow_the_config(tmp_path):
    theirs = videomae(norm_pix_loss=False)
    theirs.save_pretrained(tmp_path)
    out = load_pretrained(tmp_path, task="pretrain")(clip(), TokenSplit.from_masks(HIDDEN))
    assert torch.allclose(out.loss, theirs(clip().transpose(1, 2), HIDDEN).loss, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mean_pooling", [False, True])
def test_what_is_written_transformers_reads(tmp_path, mean_pooling):
    videomae(use_mean_pooling=mean_pooling).save_pretrained(tmp_path / "first")
    ours = load_pretrained(tmp_path / "first", task="pretrain")
    again = tmp_path / "again"
    again.mkdir()
    save_file(hugging_face.write(ours), again / "model.safetensors", {"format": "pt"})
    (again / "config.json").write_text(json.dumps(hugging_face.config_of(ours)))
    first, second = (load_file(folder / "model.safetensors") for folder in (tmp_path / "first", again))
    assert first.keys() == second.keys()
    theirs = transformers.VideoMAEForPreTraining.from_pretrained(again).eval()
    out = ours(clip(), TokenSplit.from_masks(HIDDEN))
    assert torch.allclose(out.prediction, theirs(clip().transpose(1, 2), HIDDEN).logits, atol=1e-5)


def test_image_mae_folders_give_the_outputs_of_transformers(tmp_path):
    config = {**SIZE, **DECODER, "image_size": 64}
    theirs = scrambled(transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**config, norm_pix_loss=True)))
    for table in (theirs.vit.embeddings.position_embeddings, theirs.decoder.decoder_pos_embed):
        table.data[0, 1:] = sincos_2d(4, 4, table.shape[2])  # version 5.23 starts them at zero
    theirs.save_pretrained(tmp_path)
    ours = load_pretrained(tmp_path, task="pretrain")
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    noise = torch.rand(2, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(image, noise=noise)
        out = ours(image[:, :, None], TokenSplit.from_masks(expected.mask.bool()))
    hidden = expected.logits[expected.mask.bool()].view_as(out.prediction)
    assert torch.allclose(out.prediction, hidden, atol=1e-5)
    assert torch.allclose(out.loss, expected.loss, atol=1e-5)

    fresh = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig.from_dict(hugging_face.config_of(ours)))
    save_file(hugging_face.write(ours), tmp_path / "model.safetensors", {"format": "pt"})
    fresh = type(fresh).from_pretrained(tmp_path).eval()
    assert torch.allclose(fresh(image, noise=noise).logits, expected.logits, atol=1e-5)


def small_with(heads, folder):
    config = transformers.VideoMAEConfig(
        image_size=32,
        num_frames=2,
        hidden_size=384,
        intermediate_size=384,
        num_attention_heads=heads,
        **{**DECODER, "decoder_intermediate_size": 16},
    )
    transformers.VideoMAEForPreTraining(config).save_pretrained(folder)


@pytest.mark.slow
def test_a_small_model_of_16_heads_must_be_confirmed(tmp_path):
    small_with(16, tmp_path)
    with pytest.raises(ValueError, match=r"num_heads=6 .* num_heads=16"):
        load_pretrained(tmp_path)
    assert load_pretrained(tmp_path, num_heads=6).blocks[0].attn.heads == 6
    assert load_pretrained(tmp_path, num_heads=16).blocks[0].attn.heads == 16


def test_zeroed_biases_are_warned_of(tmp_path, caplog):
    videomae().save_pretrained(tmp_path)
    rewrite(tmp_path, lambda w: {n: v * 0 if n.endswith(("q_bias", "v_bias")) else v for n, v in w.items()})
    load_pretrained(tmp_path, task="pretrain")
    assert "every query and value bias is zero" in caplog.text


def test_a_classifier_of_the_first_token_is_refused(tmp_path):
    config = transformers.VideoMAEConfig(**SIZE, num_frames=16, num_labels=3, use_mean_pooling=False)
    transformers.VideoMAEForVideoClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="classifies the first token alone"):
        load_pretrained(tmp_path, task="classify")


PRETRAIN_SIZE = {"size": "tiny", "depth": 1, "frames": 4, "image_size": 32, "mask_ratio": 0.75}


def save_model(model, path):
    state = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(state)
    torch.save(state, path)


def test_a_model_that_the_layout_cannot_hold_is_not_written(tmp_path):
    """Positions that were resized from other clips: readers of the layout compute those of its own clips."""
    model = VideoMAE(**{**PRETRAIN_SIZE, "trained_image_size": 64})
    save_model(model, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"read back, its output for a random clip differs by .* %"):
        convert(tmp_path / "x.ckpt", tmp_path / "folder", "transformers")
    assert not (tmp_path / "folder").exists()
    convert(tmp_path / "x.ckpt", tmp_path / "native", "vmae_zoo")
    model = VideoMAE(**PRETRAIN_SIZE)
    save_model(model, tmp_path / "y.ckpt")
    convert(tmp_path / "y.ckpt", tmp_path / "folder", "transformers")
    processor = json.loads((tmp_path / "folder/preprocessor_config.json").read_text())
    assert (processor["size"], processor["crop_size"]) == ({"shortest_edge": 32}, {"height": 32, "width": 32})
