import json

import lightning as L
import numpy as np
import pytest
import torch

from vmae_zoo.data import ClipConsumer, ClipDataModule, ClipRequest
from vmae_zoo.data.bad_samples import BadSamples
from vmae_zoo.datasets.scan import list_videos
from vmae_zoo.datasets.synthetic.glyph_sets import GLYPH_SETS, GlyphSet

SMALL = {"frames": 2, "stride_frames": 2, "size": 16, "batch_size": 4, "workers": 0}


class Method(L.LightningModule, ClipConsumer):
    """Learns nothing; keeps its batches."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.batches, self.validated = [], []

    def training_step(self, batch, batch_idx):
        self.batches.append(batch)
        return self.layer(batch["video"].float().mean().view(1)).sum()

    def validation_step(self, batch, batch_idx):
        self.validated.append(batch)

    def test_step(self, batch, batch_idx):
        self.validated.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)


def trainer(tmp_path, **settings):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(**{"accelerator": "cpu", "max_epochs": 1, "default_root_dir": tmp_path, **quiet, **settings})


def fit(clips, tmp_path, method=None, **settings):
    method = method or Method()
    trainer(tmp_path, **settings).fit(method, clips)
    return method


def test_batches_and_attributes_of_a_run(small_set, tmp_path):
    clips = ClipDataModule(str(small_set), repeats=2, global_batch=8, **SMALL)
    method = fit(clips, tmp_path)
    batch = method.batches[0]
    assert {name: (tuple(value.shape), value.dtype) for name, value in batch.items()} == {
        "video": ((8, 3, 2, 16, 16), torch.uint8),
        "key": ((8,), torch.int64),
        "index": ((8,), torch.int64),
        "label": ((8,), torch.int64),
    }
    assert (clips.global_batch, clips.accumulation, clips.steps_per_epoch) == (8, 2, 2)
    assert clips.trainer.global_step == 2
    assert clips.classes == ["a", "b", "c"]
    assert len(clips.records) == 22
    for index, label in zip(batch["index"].tolist(), batch["label"].tolist(), strict=True):
        assert clips.records[index].id.split("/")[:2] == ["train", "abc"[label]]


def test_without_a_global_batch_the_trainers_accumulation_counts(small_set, tmp_path):
    clips = ClipDataModule(str(small_set), **SMALL)
    fit(clips, tmp_path, accumulate_grad_batches=5)
    assert (clips.global_batch, clips.steps_per_epoch, clips.trainer.global_step) == (20, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
def test_workers_change_no_clip(small_set, tmp_path, repeats):
    runs = []
    for workers in (0, 3):
        clips = ClipDataModule(str(small_set), repeats=repeats, **{**SMALL, "workers": workers})
        runs.append(fit(clips, tmp_path, max_epochs=2))
    for other in runs[1:]:
        for name in ("batches", "validated"):
            for one, two in zip(getattr(runs[0], name), getattr(other, name), strict=True):
                assert all(torch.equal(one[key], two[key]) for key in ("video", "key", "index", "label"))


def test_validation_is_the_same_every_epoch_and_complete(small_set, tmp_path):
    clips = ClipDataModule(str(small_set), **SMALL)
    method = fit(clips, tmp_path, max_epochs=2, num_sanity_val_steps=0)
    assert sorted(torch.cat([batch["index"] for batch in method.validated]).tolist()) == sorted([*range(5)] * 2)
    for first, second in zip(method.validated[:2], method.validated[2:], strict=True):
        assert torch.equal(first["video"], second["video"])
        assert torch.equal(first["key"], second["key"])
    method = Method()
    trainer(tmp_path).test(method, clips, verbose=False)
    assert sum(len(batch["key"]) for batch in method.validated) == 5


def test_a_folder_without_validation_trains_and_logs_it(small_set, tmp_path, caplog):
    method = fit(ClipDataModule(str(small_set / "train"), **SMALL), tmp_path)
    assert len(method.batches) == 5
    assert not method.validated
    (line,) = [record.getMessage() for record in caplog.records if "layout" in record.getMessage()]
    assert "layout folder, 3 classes (a, b, c), clips: 22 train;" in line
    assert "no validation split" in line


def test_the_methods_request_is_read(small_set, tmp_path):
    method = Method()
    method.clip_request = ClipRequest(views=2, per_clip={"brightness": lambda clip, key: np.float32(clip.mean())})
    fit(ClipDataModule(str(small_set), **SMALL), tmp_path, method)
    batch = method.batches[0]
    assert batch["other"].shape == batch["video"].shape
    assert torch.allclose(batch["brightness"], batch["video"].float().mean((1, 2, 3, 4)))
    assert method.validated[0]["brightness"].shape == (2,)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"global_batch": 6}, "data.global_batch = 6.*data.batch_size = 4"),
        ({"batch_size": 64}, "22 .*64"),
        ({"layout": "ucf101"}, "layout ucf101"),
        ({"root": "/nowhere/at/all"}, "/nowhere/at/all"),
    ],
)
def test_invalid_settings_end_a_run_before_it_starts(small_set, tmp_path, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit(ClipDataModule(**{"root": str(small_set), **SMALL, **settings}), tmp_path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"frames": 0}, "data.frames = 0"), ({"crop": "oval"}, "data.crop = 'oval'.*multi_scale")],
)
def test_impossible_settings_are_refused_at_once(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        ClipDataModule(**settings)


@pytest.mark.parametrize("content", [b"", b"this is no video\n"])
def test_a_folder_of_unreadable_files_fails_before_training_with_one_sentence(tmp_path, content):
    (tmp_path / "set").mkdir()
    for number in range(30):
        (tmp_path / f"set/{number}.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"/set .*/set/0.mp4") as caught:
        fit(ClipDataModule(str(tmp_path / "set"), **SMALL), tmp_path)
    assert "\n" not in str(caught.value)


def spoiled(small_set, folder, bad):
    """A flat folder of 20 links to good files and some bad ones."""
    folder.mkdir()
    for number, path in enumerate(list_videos(small_set)[:20]):
        (folder / f"good{number:02d}.mp4").symlink_to(path)
    for number in range(bad):
        (folder / f"bad{number}.mp4").write_bytes(b"")
    return str(folder)


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_files_are_replaced_listed_and_counted(small_set, tmp_path, workers):
    clips = ClipDataModule(spoiled(small_set, tmp_path / "set", 1), max_bad_share=0.2, **{**SMALL, "workers": workers})
    with pytest.warns(UserWarning, match=r"bad0.mp4 is empty .*: replaced by .*bad_samples.jsonl"):
        method = fit(clips, tmp_path, max_epochs=3)
    assert all("bad" not in batch for batch in method.batches)
    lines = [json.loads(line) for line in (tmp_path / "bad_samples.jsonl").read_text().splitlines()]
    assert len(lines) > 1
    assert set(clips.bad_samples.unreadable) == {str(tmp_path / "set/bad0.mp4")}
    assert set(lines[0]) == {"path", "reason", "replacement", "epoch", "key"}
    assert {line["path"] for line in lines} == {str(tmp_path / "set/bad0.mp4")}


@pytest.mark.slow
def test_a_bad_file_is_no_replacement_of_its_own(small_set, tmp_path):
    clips = ClipDataModule(spoiled(small_set, tmp_path / "set", 1), **SMALL)
    with pytest.warns(UserWarning, match="replaced by"):
        fit(clips, tmp_path, max_epochs=12)
    lines = [json.loads(line) for line in (tmp_path / "bad_samples.jsonl").read_text().splitlines()]
    assert len(lines) > 6
    assert all(line["replacement"] != line["path"] for line in lines)


def test_a_bad_file_counts_once_however_often_it_is_met(tmp_path):
    bad, file = BadSamples(0.1, videos=13), tmp_path / "bad_samples.jsonl"
    met = [{"path": f"{number}.mp4", "reason": "empty", "replacement": "9.mp4"} for number in range(2)]
    with pytest.warns(UserWarning, match="replaced by"):
        bad.add([met[0], met[0]], 12, file)
    for _ in range(5):
        bad.add([met[0], met[0]], 12, file)
    with pytest.raises(ValueError, match=r"2 of 13 videos cannot be read.*`vmae-zoo index`"):
        bad.add([met[1]], 12, file)


def test_too_many_bad_files_stop_the_run(small_set, tmp_path):
    clips = ClipDataModule(spoiled(small_set, tmp_path / "set", 8), **SMALL)
    with (
        pytest.warns(UserWarning, match="replaced by"),
        pytest.raises(ValueError, match=r"of \d\d videos cannot be read, more than data.max_bad_share = 0.1: "),
    ):
        fit(clips, tmp_path, max_epochs=5)


def empty(path):
    path.unlink()  # it is a link
    path.touch()


def test_a_run_whose_files_all_fail_later_stops_with_one_sentence(small_set, tmp_path, monkeypatch):
    clips = ClipDataModule(spoiled(small_set, tmp_path / "set", 0), **SMALL)
    method = Method()
    method.on_train_start = lambda: [empty(path) for path in (tmp_path / "set").iterdir()]
    with (
        pytest.warns(UserWarning, match="replaced by"),
        pytest.raises(ValueError, match=r"videos in a row cannot be read \(.*\): all are listed in") as caught,
    ):
        fit(clips, tmp_path, method, max_epochs=3)
    assert "Traceback" not in str(caught.value)


@pytest.mark.slow
def test_the_embedded_demo_set_is_the_default_and_created_on_first_use(tmp_path, monkeypatch):
    monkeypatch.setenv("VMAE_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(GLYPH_SETS, "demo", GlyphSet(train=20, test=10))  # 5,000 take a minute
    clips = ClipDataModule(**{**SMALL, "size": 32})
    method = fit(clips, tmp_path, limit_train_batches=2, limit_val_batches=1)
    assert len(clips.classes) == 10
    assert method.batches[0]["video"].shape == (4, 3, 2, 32, 32)


@pytest.mark.slow
def test_a_second_fit_goes_on_with_the_next_epoch(small_set, tmp_path):
    clips = ClipDataModule(str(small_set), global_batch=16, **SMALL)
    both, once = trainer(tmp_path), trainer(tmp_path, max_epochs=2)
    first, second, whole = Method(), Method(), Method()
    both.fit(first, clips)
    both.fit_loop.max_epochs = 2
    both.fit(second, clips)
    once.fit(whole, ClipDataModule(str(small_set), global_batch=16, **SMALL))
    keys = [[batch["key"].tolist() for batch in method.batches] for method in (first, second, whole)]
    assert keys[0] + keys[1] == keys[2]
    assert both.global_step == 2
