"""`lightning test` and `predict`, from the command line: transformers' probabilities, and files in the run's folder."""

import csv
import json

import numpy as np
import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from vmae_zoo.cli.main import main
from vmae_zoo.data import read_clip
from vmae_zoo.training.predictions import VideoPredictions

FRAMES, STRIDE, SIZE, CLIPS, CROPS = 4, 3, 32, 3, 3
CLASSES = ["coarse", "fine", "wide"]
RECIPE = f"""
model: {{class_path: Classifier, init_args: {{size: tiny, width: 24, depth: 2, num_heads: 2, warmup_steps: 0}}}}
data: {{size: {SIZE}, frames: {FRAMES}, stride_frames: {STRIDE}, batch_size: 18, global_batch: 18, workers: 0,
        sampling: window, test_clips: {CLIPS}, test_crops: {CROPS}}}
trainer: {{accelerator: cpu, max_steps: 1, limit_val_batches: 0, enable_progress_bar: false, logger: false}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, encode):
    """A run of one step whose checkpoint then got large random weights, so that classes and views differ."""
    root = tmp_path_factory.mktemp("place")
    for split, count in (("train", 6), ("val", 3)):
        for name, size in zip(CLASSES, ((48, 64), (96, 70), (40, 100)), strict=True):
            for number in range(count):
                encode(root / "data" / split / name / f"{number}.mp4", frames=9 + 11 * number, size=size)
    (root / "small.yaml").write_text(RECIPE)
    assert call(root, "fit") == 0
    (run,) = (root / "runs" / "small").iterdir()
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    generator = torch.Generator().manual_seed(0)
    for name, value in saved["state_dict"].items():
        if value.is_floating_point() and "pos_embed" not in name:
            value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    torch.save(saved, run / "checkpoints" / "last.ckpt")
    return root, run, saved["state_dict"]


def call(root, subcommand, *more):
    common = ["-c", str(root / "small.yaml"), "--data.root", str(root / "data")]
    return main([subcommand, *common, "--trainer.default_root_dir", str(root), *more])


def transformers_model(state):
    """Transformers' model with the weights of ours."""
    config = VideoMAEConfig(
        image_size=SIZE, patch_size=16, num_frames=FRAMES, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=96, num_labels=3, use_mean_pooling=True, layer_norm_eps=1e-6,
    )  # fmt: skip
    model = VideoMAEForVideoClassification(config).eval()
    to = {
        "attention.output.dense": "attn.proj", "layernorm_before": "norm1", "layernorm_after": "norm2",
        "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
    }  # fmt: skip
    with torch.no_grad():
        for name, value in model.state_dict().items():
            kind = name.rsplit(".", 1)[1]
            if name.startswith("classifier."):
                ours = f"head.{kind}"
            elif name.startswith("fc_norm."):
                ours = f"encoder.{name}"
            elif "patch_embeddings" in name:
                ours = f"encoder.patch_embed.proj.{kind}"
            elif ".layer." in name:
                block, part = name.split(".layer.")[1].split(".", 1)
                ours = f"encoder.blocks.{block}."
                if "attention.attention" in part:
                    letter = part.split("attention.attention.")[1][0]
                    third = state[f"{ours}attn.qkv.weight"].chunk(3)["qkv".index(letter)]
                    value.copy_(third if kind == "weight" else state.get(f"{ours}attn.{letter}_bias", value * 0))
                    continue
                ours += f"{to[part.rsplit('.', 1)[0]]}.{kind}"
            else:
                assert "position" in name, name
                continue
            value.copy_(state[ours])
    return model


def expected_probabilities(model, path):
    """Decode, crop, normalise and average by hand."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    total = 9 + 11 * int(path.stem)
    strided = list(range(0, total, STRIDE))
    strided += [strided[-1]] * (FRAMES - len(strided))
    views = []
    for clip in range(CLIPS):
        first = int(clip * (len(strided) - FRAMES) / (CLIPS - 1))
        frames = read_clip(path, strided[first : first + FRAMES], SIZE)
        high = frames.shape[1] > frames.shape[2]
        for crop in range(CROPS):
            start = int(crop * (max(frames.shape[1:3]) - SIZE) / (CROPS - 1))
            part = frames[:, start : start + SIZE] if high else frames[:, :, start : start + SIZE]
            views.append((part / 255 - mean) / std)
    with torch.no_grad():
        logits = model(torch.from_numpy(np.stack(views)).float().permute(0, 1, 4, 2, 3)).logits
    return logits.double().softmax(1).mean(0).numpy()


@pytest.mark.slow
def test_probabilities_over_clips_and_crops_are_those_of_transformers(place, monkeypatch):
    root, run, state = place
    kept, write = [], VideoPredictions.write_csv

    def keep(predictions, file, records, *more):
        kept.extend((records[index].path, found.numpy()) for index, found in predictions.probabilities.items())
        write(predictions, file, records, *more)

    monkeypatch.setattr(VideoPredictions, "write_csv", keep)
    assert call(root, "test", "--ckpt_path", "last", "--json", str(root / "scores.json")) == 0
    model, right = transformers_model(state), []
    assert len(kept) == 9
    for path, found in kept:
        expected = expected_probabilities(model, path)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        right.append(CLASSES[expected.argmax()] == path.parent.name)
    assert np.ptp([found for _, found in kept], axis=0).max() > 0.01, "videos differ"
    assert json.loads((run / "test.json").read_text())["top1"] == pytest.approx(100 * np.mean(right), abs=1e-3)
    metrics = json.loads((root / "scores.json").read_text())["metrics"]
    assert metrics["top1/test"] == pytest.approx(100 * np.mean(right), abs=1e-3)


@pytest.mark.slow
def test_results_lie_in_the_folder_of_the_run(place, tmp_path, monkeypatch):
    root, run, _ = place
    monkeypatch.chdir(tmp_path)
    assert call(root, "test", "--ckpt_path", str(run / "checkpoints" / "last.ckpt")) == 0
    rows = list(csv.DictReader((run / "test.csv").open()))
    assert [row["truth"] for row in rows] == sorted(CLASSES * 3)
    assert call(root, "predict", "--ckpt_path", "last") == 0
    assert len(list(csv.DictReader((run / "predictions.csv").open()))) == 27
    assert not list(tmp_path.iterdir())
    assert not list(run.glob("*.jsonl"))
    assert json.loads((run / "summary.json").read_text())["state"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("subcommand", ["test", "predict"])
def test_a_checkpoint_of_no_classifier_is_refused(subcommand, place, tmp_path, capsys):
    root, _, state = place
    torch.save({"state_dict": state}, tmp_path / "weights.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    for name in ("weights.ckpt", "text.ckpt"):
        assert call(root, subcommand, "--ckpt_path", str(tmp_path / name)) == 1
        error = capsys.readouterr().err
        assert name in error
        assert "Traceback" not in error
    assert main([subcommand, "-c", "recipes/videomae.yaml", "--data.root", str(root / "data")]) == 1
    assert "VideoMAE" in capsys.readouterr().err
