"""Mixtures of data sets: counts, classes, strides, keys, and resuming."""

import shutil
from itertools import chain

import lightning as L
import pytest
import torch
from tests.recording_reader import RecordingReader

from vmae_zoo.data import ClipDataModule, ClipDataset
from vmae_zoo.datasets.make_index import make_index

SMALL = {"frames": 2, "stride_frames": 4, "size": 16, "batch_size": 4, "workers": 0}


class Diary(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.keys, self.rows = [], []

    def training_step(self, batch, batch_idx):
        self.keys.append(batch["key"].tolist())
        self.rows.append(batch["index"].tolist())
        return self.layer(batch["video"].float().mean().view(1)).sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)


def fit(data, tmp_path, checkpoint=None, **settings):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_model_summary=False,
        **quiet,
        **{"max_epochs": 2, **settings},
    )
    module = Diary()
    trainer.fit(module, data, ckpt_path=checkpoint)
    return trainer, module


@pytest.fixture(scope="module")
def roots(small_set, tmp_path_factory):
    """``one``: 22 training and 5 validation clips of 3 classes; ``two``: 22 of the same classes; ``flat``: 5 clips."""
    base = tmp_path_factory.mktemp("mix")
    shutil.copytree(small_set, base / "one")
    shutil.copytree(small_set / "train", base / "two")
    (base / "two/c").rename(base / "two/d")
    (base / "flat").mkdir()
    for number, path in enumerate(sorted((small_set / "val").rglob("*.mp4"))):
        shutil.copy(path, base / f"flat/{number}.mp4")
    return base


MIX = [
    {"root": "one", "stride_frames": 2},
    {"root": "two", "weight": 2},
    {"root": "flat", "weight": 0.5, "name": "mine"},
]


def test_one_line_describes_each_source(roots):
    data = ClipDataModule(str(roots), sources=MIX, **SMALL)
    line = data.mixture.describe()
    assert "\n" not in line
    for part in (
        "layout mix, 4 classes (a, b, c, d), clips: 49 train, 5 val",
        "one: layout folder, 3 classes (a, b, c), clips: 22 train, 5 val, stride 2, weight 1",
        "two: layout folder, 3 classes (a, b, d), clips: 22 train, stride 4, weight 2",
        "mine: layout flat, no labels, clips: 5 train, stride 4, weight 0.5",
        "68 clips an epoch",  # 22 + 44 + 2
    ):
        assert part in line
    ids = [record.id for record in data.records]
    assert len(set(ids)) == 49
    assert ids[0].startswith("one:train/a/")
    assert {row.label for row in data.records if row.id.startswith("two:d/")} == {3}
    assert {row.label for row in data.records if row.id.startswith("mine:")} == {-1}


def test_each_source_keeps_its_stride(roots):
    data, reader = ClipDataModule(str(roots), sources=MIX, **SMALL), RecordingReader()
    clips = ClipDataset(data.records, data.clip, reader=reader)
    for index, row in enumerate(data.records):
        clips[index, 0]
        first, second = reader.calls[-1][1]
        assert second - first == (2 if row.id.startswith("one:") else 4)


@pytest.mark.slow
def test_copies_of_a_row_have_keys_of_their_own_and_epochs_take_turns(roots, tmp_path):
    data = ClipDataModule(str(roots), sources=MIX, repeats=2, **SMALL)
    trainer, module = fit(data, tmp_path)
    assert data.steps_per_epoch == 17
    assert trainer.global_step == 34
    keys = [key for batch in module.keys for key in batch]
    assert len(keys) == len(set(keys)) == 2 * 68 * 2
    for epoch in range(2):
        drawn = [row for batch in module.rows[17 * epoch : 17 * epoch + 17] for row in batch[::2]]
        names = [data.records[row].id.partition(":")[0] for row in drawn]
        assert {name: names.count(name) for name in names} == {"one": 22, "two": 44, "mine": 2}


@pytest.mark.slow
def test_resumes_with_other_workers_and_batches(roots, tmp_path):
    def data(**settings):
        return ClipDataModule(str(roots), sources=MIX, global_batch=4, **{**SMALL, **settings})

    _, whole = fit(data(), tmp_path)
    trainer, before = fit(data(), tmp_path, max_epochs=-1, max_steps=20)
    trainer.save_checkpoint(tmp_path / "20.ckpt")
    _, after = fit(data(batch_size=2, workers=1), tmp_path, tmp_path / "20.ckpt")
    assert list(chain(*before.keys, *after.keys)) == list(chain(*whole.keys))
    other = [{**MIX[0], "weight": 2}, {**MIX[1], "weight": 1}, MIX[2]]  # as many clips an epoch
    with pytest.warns(UserWarning, match=r"one 22 x 1, two 22 x 2, mine 5 x 0.5, .* another order"):
        fit(ClipDataModule(str(roots), sources=other, **SMALL), tmp_path, tmp_path / "20.ckpt", max_steps=21)


def test_every_sources_index_counts(roots, tmp_path):
    base = tmp_path / "mix"
    shutil.copytree(roots, base)
    (base / "one/train/a/damaged.mp4").write_bytes(b"no video")
    (base / "flat/damaged.mp4").write_bytes(b"no video")
    marks = [make_index(base / name, workers=1, progress=False)[0].fingerprint for name in ("one", "flat")]
    data = ClipDataModule(str(base), sources=MIX, **SMALL)
    assert len(data.records) == 49
    assert data.mixture.indexes.fingerprint == "+".join(marks)
    assert data.mixture.describe().count("damaged.mp4") == 2
    path = data.records[-1].path
    status = path.stat()
    assert data.mixture.indexes.lookup(str(path), status.st_size, status.st_mtime_ns)[0].frames == 12


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ([{"root": "one", "wieght": 2}], r"data.sources, entry 1: .*'wieght'.*root, layout"),
        ([{"root": "one"}, {"stride": 2}], r"data.sources, entry 2: .*'stride'"),
        ([{"layout": "flat"}], r"data.sources, entry 1: root is missing"),
        ([{"root": "one", "weight": 0}], r"entry 1: weight = 0"),
        ([{"root": "one", "stride_frames": 1.5}], r"entry 1: stride_frames = 1.5"),
        ([{"root": "one"}, {"root": "./one"}], r"data.sources: 2 .*'one'"),
        ([{"root": "gone"}], r"data.sources, gone: root = .*/gone"),
        ([{"root": "flat", "layout": "ucf101"}], r"data.sources, flat: .*ucf101"),
    ],
)
def test_mistakes_are_one_sentence_that_names_the_source(roots, sources, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        ClipDataModule(str(roots), sources=sources, **SMALL).mixture  # noqa: B018
    assert "\n" not in str(caught.value)


def test_layout_and_split_belong_to_the_sources(roots):
    with pytest.raises(ValueError, match=r"data.layout.*data.split.*data.sources"):
        ClipDataModule(str(roots), layout="flat", sources=MIX, **SMALL).mixture  # noqa: B018


def test_classes_that_are_only_numbers_are_kept_apart(roots, tmp_path):
    for name in ("p", "q"):
        (tmp_path / name).mkdir()
        videos = sorted((roots / "flat").glob("*.mp4"))
        (tmp_path / name / "train.csv").write_text("".join(f"{path} {k % 2}\n" for k, path in enumerate(videos)))
    data = ClipDataModule(str(tmp_path), sources=[{"root": "p"}, {"root": "q"}], **SMALL)
    assert data.classes == ["p:0", "p:1", "q:0", "q:1"]
    assert len({record.id for record in data.records}) == 10
