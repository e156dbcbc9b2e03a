"""The classifier equals the official numbers, trains as published and saves its classes."""

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.quiet_trainer import quiet_trainer
from torch.utils.data import DataLoader, Dataset, default_collate
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from vmae_zoo.data import ClipDataModule
from vmae_zoo.data.clip_spec import ClipSpec
from vmae_zoo.data.interfaces import VideoDataModule
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.methods import Classifier
from vmae_zoo.training.parameter_groups import parameter_groups
from vmae_zoo.training.predictions import VideoPredictions

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = {"frames": 16, "image_size": 32, "width": 24, "depth": 2, "num_heads": 2}
NAMES = ["left", "right", "still"]


def test_logits_equal_the_official_numbers():
    values = load_file(GOLDEN / "videomae_v1_classify.safetensors")
    classifier = Classifier(num_classes=7, **TINY).eval()
    official = {name[2:]: value for name, value in values.items() if name.startswith("w.")}
    classifier.load_state_dict({n if n.startswith("head.") else f"encoder.{n}": v for n, v in official.items()})
    torch.testing.assert_close(classifier(values["in.clip"]), values["out.logits"], atol=1e-5, rtol=1e-5)


def test_initialization_is_the_published_one():
    torch.manual_seed(0)
    classifier = Classifier(num_classes=400, size="tiny", image_size=64)
    assert classifier.head.weight.std().item() == pytest.approx(2e-5, rel=0.05)
    assert classifier.head.bias.abs().max() == 0
    assert classifier.encoder.blocks[0].attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert isinstance(classifier.encoder.norm, torch.nn.Identity)
    assert isinstance(classifier.encoder.fc_norm, torch.nn.LayerNorm)


@pytest.mark.parametrize(("size", "millions"), [("small", 22.03), ("base", 86.53), ("large", 304.3), ("huge", 632.1)])
def test_parameter_counts_are_the_published_ones(size, millions):
    with torch.device("meta"):
        classifier = Classifier(num_classes=400, size=size)
    assert sum(p.numel() for p in classifier.parameters()) / 1e6 == pytest.approx(millions, rel=3e-4)


def test_timesformer_has_its_published_size():
    with torch.device("meta"):
        model = Classifier(
            num_classes=400, frames=8, attention="divided", pool="cls", position="separable", bias="qkv", cube_frames=1
        )
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(121.4, rel=2e-3)
    assert model.encoder.blocks[3].temporal_fc.weight.abs().max() == 0 if model.device.type != "meta" else True


def test_layer_decay_is_the_published_table():
    with torch.device("meta"):
        classifier = Classifier(num_classes=3, size="base")
    groups = parameter_groups(classifier, 0.05, lr=1.0, layer_decay=0.75, depth=12, exempt=classifier.no_decay)
    rate = {parameter: group["lr"] for group in groups for parameter in group["params"]}
    named = dict(classifier.named_parameters())
    assert rate[named["encoder.patch_embed.proj.weight"]] == pytest.approx(0.0238, abs=5e-5)
    assert rate[named["encoder.blocks.0.attn.qkv.weight"]] == pytest.approx(0.0317, abs=5e-5)
    assert rate[named["encoder.blocks.11.mlp.fc1.bias"]] == 0.75
    assert rate[named["encoder.fc_norm.weight"]] == rate[named["head.bias"]] == 1


class Clips(Dataset):
    """Videos of one color per class, with several views of each, in the format of the data module."""

    def __init__(self, videos, views=1):
        self.videos, self.views = videos, views

    def __len__(self):
        return self.videos

    def __getitem__(self, index):
        label, generator = index % 3, torch.Generator().manual_seed(index)
        clip = torch.randint(0, 60, (self.views, 3, 16, 32, 32), generator=generator, dtype=torch.uint8)
        clip[:, label] += 150
        return {"video": clip, "label": torch.full((self.views,), label), "index": torch.full((self.views,), index)}


def collate(samples):
    batch = {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}
    return {**batch, "key": torch.arange(len(batch["label"]))}


class Data(VideoDataModule):
    """Labelled clips in memory."""

    classes = ()
    clip = ClipSpec(size=32)
    test_records = predict_records = tuple(
        ClipRecord(f"v{index}.mp4", Path(f"/clips/v{index}.mp4"), index % 3, "test") for index in range(12)
    )

    def __init__(self, classes=NAMES):
        super().__init__()
        self.classes = classes

    def train_dataloader(self):
        return DataLoader(Clips(24), batch_size=6, collate_fn=collate)

    def val_dataloader(self):
        return DataLoader(Clips(9), batch_size=5, collate_fn=collate)

    def test_dataloader(self):
        return DataLoader(Clips(12, views=6), batch_size=2, collate_fn=collate)

    predict_dataloader = test_dataloader


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    classifier = Classifier(**TINY, lr=3e-3, min_lr=0.0, warmup_steps=2, layer_decay=1.0, erase=0.0)
    run = quiet_trainer(folder, max_epochs=12, max_steps=48)
    run.fit(classifier, datamodule=Data())
    run.save_checkpoint(folder / "last.ckpt")
    return run, classifier, folder


@pytest.mark.slow
def test_it_learns_and_its_checkpoint_has_the_classes(trained, tmp_path):
    run, classifier, folder = trained
    assert run.callback_metrics["top1/val"] == run.callback_metrics["mean_class/val"] == 100
    assert "top5/val" not in run.callback_metrics, "there are three classes"
    assert run.callback_metrics["loss/val"] < 1
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert saved["vmae_zoo"]["hparams"]["classes"] == NAMES
    again = Classifier(**saved["vmae_zoo"]["hparams"])
    again.load_state_dict(saved["state_dict"])
    assert again.classes == NAMES
    clip = torch.randn(2, 3, 16, 32, 32)
    torch.testing.assert_close(again.eval()(clip), classifier.eval()(clip))


def test_probabilities_of_the_views_are_averaged(trained, tmp_path):
    _, classifier, folder = trained
    data = Data()
    run = quiet_trainer(tmp_path)
    (metrics,) = run.test(Classifier(**TINY), datamodule=data, ckpt_path=folder / "last.ckpt", verbose=False)
    assert metrics["top1/test"] == 100
    assert metrics["videos/test"] == 12
    rows = list(csv.DictReader((tmp_path / "test.csv").open()))
    assert [row["truth"] for row in rows] == [NAMES[int(Path(row["path"]).stem[1:]) % 3] for row in rows]
    assert [row["label"] for row in rows] == [row["truth"] for row in rows]
    with torch.no_grad():
        logits = classifier.eval()(classifier.normalize(Clips(12, views=6)[4]["video"]))
    expected = logits.softmax(1).mean(0).max().item()
    shown = next(float(row["probability"]) for row in rows if row["path"] == "/clips/v4.mp4")
    assert shown == pytest.approx(expected, abs=1e-5)


def test_predictions_are_a_csv_of_path_label_probability(trained, tmp_path):
    _, _, folder = trained
    run = quiet_trainer(tmp_path)
    data = Data(classes=[])  # unlabelled videos: the classes are the checkpoint's
    run.predict(Classifier(**TINY), datamodule=data, ckpt_path=folder / "last.ckpt", return_predictions=False)
    rows = list(csv.reader((tmp_path / "predictions.csv").open()))
    assert rows[0] == ["path", "label", "probability"]
    assert len(rows) == 13
    assert rows[1][:2] == ["/clips/v0.mp4", "left"]
    assert 0 < float(rows[1][2]) <= 1


def test_other_classes_are_refused(trained, tmp_path):
    _, _, folder = trained
    with pytest.raises(ValueError, match="left, right, still"):
        quiet_trainer(tmp_path).test(
            Classifier(classes=["left", "right", "still"], **TINY),
            datamodule=Data(classes=["a", "b", "c"]),
            ckpt_path=folder / "last.ckpt",
        )
    with pytest.raises(ValueError, match="3 classes"):
        Classifier(num_classes=3, **TINY).set_classes(["a", "b"])
    with pytest.raises(ValueError, match=r"data\.layout"):
        quiet_trainer(tmp_path, max_steps=1).fit(Classifier(**TINY), datamodule=Data(classes=[]))
    with pytest.raises(ValueError, match="no classes"):
        Classifier(**TINY)(torch.zeros(1, 3, 16, 32, 32))


def test_views_and_head_agree_with_transformers():
    config = VideoMAEConfig(
        image_size=32, patch_size=16, num_frames=16, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=96, num_labels=5, use_mean_pooling=True, layer_norm_eps=1e-6,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = VideoMAEForVideoClassification(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = Classifier(num_classes=5, **TINY).eval()
    state = ours.state_dict()
    given = theirs.state_dict()
    for name, value in given.items():
        if name.startswith("classifier."):
            state[f"head.{name.removeprefix('classifier.')}"].copy_(value)
        elif name.startswith("fc_norm."):
            state[f"encoder.{name}"].copy_(value)
        elif "patch_embeddings" in name:
            state[f"encoder.patch_embed.proj.{name.rsplit('.', 1)[1]}"].copy_(value)
    for block in range(2):
        layer, to = f"videomae.encoder.layer.{block}.", f"encoder.blocks.{block}."
        attention = layer + "attention.attention."
        renamed = {
            "attention.output.dense": "attn.proj", "layernorm_before": "norm1", "layernorm_after": "norm2",
            "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
        }  # fmt: skip
        for a, b in renamed.items():
            for kind in ("weight", "bias"):
                state[f"{to}{b}.{kind}"].copy_(given[f"{layer}{a}.{kind}"])
        parts = [given[f"{attention}{part}.weight"] for part in ("query", "key", "value")]
        state[f"{to}attn.qkv.weight"].copy_(torch.cat(parts))
        for part in ("q", "v"):
            long = {"q": "query", "v": "value"}[part]
            bias = given.get(f"{attention}{part}_bias", given.get(f"{attention}{long}.bias"))
            state[f"{to}attn.{part}_bias"].copy_(bias)
    views = torch.randn(6, 3, 16, 32, 32)
    with torch.no_grad():
        theirs_logits = theirs(views.transpose(1, 2)).logits
        torch.testing.assert_close(ours(views), theirs_logits, atol=1e-5, rtol=1e-5)
        predictions = VideoPredictions()
        predictions.add({"index": torch.zeros(6, dtype=torch.int64)}, ours(views).softmax(1))
    averaged = predictions.probabilities[0]
    torch.testing.assert_close(averaged, theirs_logits.softmax(1).mean(0), atol=1e-5, rtol=1e-5)


def test_default_collate_is_enough():
    batch = default_collate([{"video": torch.zeros(3, 16, 32, 32, dtype=torch.uint8), "label": 1, "key": 5}] * 2)
    loss = Classifier(num_classes=3, **TINY).training_step(batch, 0)
    assert loss.item() == pytest.approx(torch.log(torch.tensor(3.0)).item(), abs=1e-2)


def test_clips_without_a_label_are_left_out_of_training_and_counted(tmp_path, encode, capsys):
    rows = [("1", "a", "train"), ("2", "b", "train"), ("3", "", "train"), ("4", "a", "val"), ("5", "", "val")]
    for name, *_ in rows:
        encode(tmp_path / f"{name}.mp4", frames=4, size=(32, 32))
    lines = [f"{name}.mp4,{label},{split}" for name, label, split in rows]
    (tmp_path / "split.csv").write_text("\n".join(["path,label,split", *lines]))
    data = ClipDataModule(str(tmp_path), frames=2, stride_frames=1, size=32, batch_size=2, workers=0)
    classifier = Classifier(**{**TINY, "frames": 2}, lr=1e-3)
    trainer = quiet_trainer(tmp_path, max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(classifier, data)
    assert torch.isfinite(trainer.callback_metrics["loss/val"])
    assert [record.path.name for record in data.records] == ["1.mp4", "2.mp4"]
    assert [record.path.name for record in data.validation_records] == ["4.mp4"]
    assert "2 of 5 clips have no label and are left out" in data.mixture.describe()
    trainer.predict(classifier, data)
    assert (tmp_path / "predictions.csv").read_text().count(".mp4") == 3


def test_a_prediction_of_videos_of_other_classes_is_written(tmp_path):
    predictions = VideoPredictions()
    predictions.add({"index": torch.tensor([0]), "label": torch.tensor([7])}, torch.tensor([[0.2, 0.8]]))
    records = [ClipRecord("=cmd|'/c calc'!A0.mp4", Path("=cmd|'/c calc'!A0.mp4"))]
    predictions.write_csv(tmp_path / "p.csv", records, ["+left", "@right"], truth=False)
    header, row = csv.reader((tmp_path / "p.csv").open())
    assert header == ["path", "label", "probability"]
    assert row == ["'=cmd|'/c calc'!A0.mp4", "'@right", "0.800000"]  # no formula for a spreadsheet
